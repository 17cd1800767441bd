//! Where a side's keys come from when no flag says it: the chain of Amazon's own programs, one link of which is taken before
//! anything is asked, so that it can be shown.

use std::ffi::OsString;
use std::path::PathBuf;

use skyferry_config::ProviderSettings;

use super::arguments::Connection;
use super::endpoint_arg::{EndpointArgument, Scheme};

/// One link.
#[derive(Debug, PartialEq, Eq)]
pub struct DefaultCredentials {
    pub provider: ProviderSettings,
    pub description: String,
}

/// The remote sides whose keys no flag names.
pub fn sides(
    arguments: &Connection,
    [source, destination]: [&EndpointArgument; 2],
) -> Vec<(&'static str, DefaultCredentials)> {
    let sides = [
        ("source", source, &arguments.source_credentials),
        ("destination", destination, &arguments.destination_credentials),
    ];
    let named = sides.into_iter().filter(|(_, place, credentials)| !place.is_local() && credentials.is_none());
    named.map(|(side, place, _)| (side, of(place))).collect()
}

pub fn of(place: &EndpointArgument) -> DefaultCredentials {
    let scheme = match place {
        EndpointArgument::Remote { scheme, .. } => *scheme,
        EndpointArgument::Local(_) => Scheme::S3,
    };
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    chain(scheme, variable, |file| std::fs::read_to_string(file).ok())
}

/// The profiles' keys are Amazon's: no other provider gets them.
fn chain(
    scheme: Scheme,
    variable: impl Fn(&str) -> Option<OsString>,
    read: impl Fn(PathBuf) -> Option<String>,
) -> DefaultCredentials {
    let environment = DefaultCredentials {
        provider: ProviderSettings::Environment { prefix: String::new() },
        description: "the environment's AWS_ACCESS_KEY_ID".into(),
    };
    match scheme {
        _ if variable("AWS_ACCESS_KEY_ID").is_some() => return environment,
        Scheme::Oss => return environment,
        Scheme::Gcs => {
            return DefaultCredentials {
                provider: ProviderSettings::Google { audience: None, endpoint: None },
                description: "Google's application default credentials".into(),
            };
        }
        Scheme::S3 => {}
    }
    let profile = |name: String, from: &str| DefaultCredentials {
        description: format!("profile {name} ({from})"),
        provider: ProviderSettings::Profile { name },
    };
    if let Some(name) = variable("AWS_PROFILE").and_then(|name| name.into_string().ok()) {
        return profile(name, "AWS_PROFILE");
    }
    let home = variable("HOME").map(PathBuf::from).unwrap_or_default().join(".aws");
    for (name, file) in [("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config")] {
        let at = variable(name).map_or_else(|| home.join(file), PathBuf::from);
        let shown = at.display().to_string();
        let has = read(at)
            .is_some_and(|text| text.lines().any(|line| matches!(line.trim(), "[default]" | "[profile default]")));
        if has {
            return profile("default".into(), &shown);
        }
    }
    DefaultCredentials {
        provider: ProviderSettings::Instance { endpoint: None },
        description: "the role of this container or machine".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(scheme: Scheme, variables: &[(&str, &str)], files: &[(&str, &str)]) -> String {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        let read = |file: PathBuf| {
            files.iter().find(|(name, _)| file == PathBuf::from(name)).map(|(_, text)| (*text).to_owned())
        };
        chain(scheme, variable, read).description
    }

    #[test]
    fn the_first_link_that_is_there_is_taken_and_named() {
        let (key, home, profile) = (("AWS_ACCESS_KEY_ID", "A"), ("HOME", "/h"), ("AWS_PROFILE", "p"));
        let files = [("/h/.aws/config", "[profile x]\n[default]\nregion = x\n")];
        assert_eq!(taken(Scheme::S3, &[key, profile, home], &files), "the environment's AWS_ACCESS_KEY_ID");
        assert_eq!(taken(Scheme::S3, &[profile, home], &files), "profile p (AWS_PROFILE)");
        assert_eq!(taken(Scheme::S3, &[home], &files), "profile default (/h/.aws/config)");
        let elsewhere = ("AWS_CONFIG_FILE", "/e");
        assert_eq!(taken(Scheme::S3, &[home, elsewhere], &files), "the role of this container or machine");
        assert_eq!(taken(Scheme::S3, &[home, elsewhere], &[("/e", "[default]")]), "profile default (/e)");
    }

    #[test]
    fn keys_of_amazon_go_to_no_other_provider() {
        let variables = [("HOME", "/h"), ("AWS_PROFILE", "p")];
        assert_eq!(taken(Scheme::Gcs, &variables, &[]), "Google's application default credentials");
        assert_eq!(taken(Scheme::Oss, &variables, &[]), "the environment's AWS_ACCESS_KEY_ID");
    }
}
