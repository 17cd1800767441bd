//! Where credentials come from: the settings' tables, the command line's short form, and what the mode implies.

use std::path::{Path, PathBuf};

use toml::Table;

use super::endpoint::Endpoint;
use super::problem::{Problem, ProblemKind};
use super::provider_text::fields;
use super::put::{Put as _, text};
use super::raw;
use super::reader::SettingsReader;

/// A source of credentials. Names places, never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderSettings {
    /// The machine's own role (EC2 instance metadata).
    Instance { endpoint: Option<Endpoint> },
    /// An SSM SecureString: `{"aws_access_key_id","aws_secret_access_key","region"}`. Read with the machine's own role.
    Ssm { name: String, region: Option<String>, endpoint: Option<Endpoint> },
    /// A version of a secret in Google's Secret Manager: that JSON, or (with `field`) an object that holds it.
    SecretManager { resource: String, field: Option<String>, endpoint: Option<Endpoint> },
    /// `<prefix>AWS_ACCESS_KEY_ID` and its companions.
    Environment { prefix: String },
    /// A file with the JSON of `Ssm`, or (with `field`) an object that holds it.
    File { path: PathBuf, field: Option<String> },
    /// A profile of the AWS configuration files.
    Profile { name: String },
    /// A role of AWS taken with this machine's Google identity: keyless.
    WebIdentity { role_arn: String, audience: Option<String>, region: Option<String>, endpoint: Option<Endpoint> },
    /// Google's application default credentials, or (with `audience`) federation from AWS: a Bearer token, keyless.
    Google { audience: Option<String>, endpoint: Option<Endpoint> },
    /// None: unsigned requests, for a public source.
    Anonymous,
}

const KINDS: &str = "one of instance, ssm, secret-manager, environment, file, profile, web-identity, google, anonymous";

impl ProviderSettings {
    pub fn kind(&self) -> &'static str {
        match self {
            ProviderSettings::Instance { .. } => "instance",
            ProviderSettings::Ssm { .. } => "ssm",
            ProviderSettings::SecretManager { .. } => "secret-manager",
            ProviderSettings::Environment { .. } => "environment",
            ProviderSettings::File { .. } => "file",
            ProviderSettings::Profile { .. } => "profile",
            ProviderSettings::WebIdentity { .. } => "web-identity",
            ProviderSettings::Google { .. } => "google",
            ProviderSettings::Anonymous => "anonymous",
        }
    }

    /// The command line's form: `instance`, `environment:SRC_`, `file:PATH` or `file:PATH#FIELD`, `profile:NAME`, `ssm:NAME`,
    /// `secret-manager:RESOURCE#FIELD`, `web-identity:ROLE_ARN#AUDIENCE`, `google`, `anonymous`. File names are relative to `base`.
    /// The error says what is wanted, for a message that names the flag.
    pub fn from_argument(text: &str, base: &Path) -> Result<ProviderSettings, String> {
        let mut raw = raw::Provider::default();
        for (name, value) in fields(text) {
            let field = match name {
                "provider" => &mut raw.provider,
                "name" => &mut raw.name,
                "resource" => &mut raw.resource,
                "field" => &mut raw.field,
                "prefix" => &mut raw.prefix,
                "path" => &mut raw.path,
                "role_arn" => &mut raw.role_arn,
                _ => &mut raw.audience,
            };
            *field = Some(value);
        }
        let mut reader = SettingsReader::bare(base);
        match (read(&mut reader, "credentials", raw), reader.problems.first()) {
            (Some(provider), None) => Ok(provider),
            // What was typed is not repeated: it may be the key itself.
            (_, Some(Problem { what: ProblemKind::Value { wanted, .. }, .. })) => Err(format!("this is not {wanted}")),
            (_, problem) => Err(problem.map_or(KINDS.to_string(), ToString::to_string)),
        }
    }
}

/// A provider's table, `None` after a problem has been noted.
pub(super) fn read(r: &mut SettingsReader, at: &str, mut raw: raw::Provider) -> Option<ProviderSettings> {
    let kind = raw.provider.take();
    let allow = r.flag(&format!("{at}.allow_http"), raw.allow_http.take(), false);
    let endpoint = |r: &mut SettingsReader, text, service| r.endpoint(&format!("{at}.endpoint"), text, allow, service);
    let provider = match kind.as_deref() {
        Some("instance") => ProviderSettings::Instance { endpoint: endpoint(r, raw.endpoint.take(), None) },
        Some("ssm") => ProviderSettings::Ssm {
            name: r.required(&format!("{at}.name"), raw.name.take(), "the name of the SSM parameter")?,
            region: raw.region.take(),
            endpoint: endpoint(r, raw.endpoint.take(), Some("SSM")),
        },
        Some("secret-manager") => ProviderSettings::SecretManager {
            resource: r.required(
                &format!("{at}.resource"),
                raw.resource.take(),
                "the secret's version, projects/P/secrets/S/versions/latest (or choose another provider)",
            )?,
            field: raw.field.take(),
            endpoint: endpoint(r, raw.endpoint.take(), None),
        },
        Some("environment") => ProviderSettings::Environment { prefix: raw.prefix.take().unwrap_or_default() },
        Some("file") => ProviderSettings::File {
            path: r.base.join(r.required(&format!("{at}.path"), raw.path.take(), "the file's name")?),
            field: raw.field.take(),
        },
        Some("profile") => ProviderSettings::Profile {
            name: r.required(&format!("{at}.name"), raw.name.take(), "the profile's name")?,
        },
        Some("web-identity") => ProviderSettings::WebIdentity {
            role_arn: r.required(&format!("{at}.role_arn"), raw.role_arn.take(), "the role to take")?,
            audience: raw.audience.take(),
            region: raw.region.take(),
            endpoint: endpoint(r, raw.endpoint.take(), Some("STS")),
        },
        Some("google") => {
            ProviderSettings::Google { audience: raw.audience.take(), endpoint: endpoint(r, raw.endpoint.take(), None) }
        }
        // As other programs call it.
        Some("anonymous" | "none") => ProviderSettings::Anonymous,
        other => {
            let found = other.unwrap_or_default();
            r.refuse(&format!("{at}.provider"), found, &format!("{KINDS}{}", nearest(found)));
            return None;
        }
    };
    refuse_foreign_fields(r, at, provider.kind(), raw);
    Some(provider)
}

/// The name that may have been meant.
fn nearest(found: &str) -> String {
    let names = KINDS.trim_start_matches("one of ").split(", ");
    let near = names.map(|name| (strsim::damerau_levenshtein(&found.to_ascii_lowercase(), name), name)).min();
    match near {
        Some((distance, name)) if !found.is_empty() && distance <= name.len() / 2 => format!(" (did you mean {name}?)"),
        _ => String::new(),
    }
}

/// What is left over belongs to another provider.
fn refuse_foreign_fields(r: &mut SettingsReader, at: &str, kind: &str, raw: raw::Provider) {
    let left = [
        ("name", raw.name),
        ("region", raw.region),
        ("resource", raw.resource),
        ("field", raw.field),
        ("prefix", raw.prefix),
        ("path", raw.path),
        ("role_arn", raw.role_arn),
        ("audience", raw.audience),
        ("endpoint", raw.endpoint),
    ];
    for (name, _) in left.iter().filter(|(_, value)| value.is_some()) {
        r.invalid(&format!("{at}.{name}"), format!("does not belong to the provider {kind}: remove it"));
    }
}

/// As `--print-config` shows it.
pub(super) fn to_table(provider: &ProviderSettings) -> Table {
    let mut table = Table::new();
    table.put("provider", provider.kind());
    match provider {
        ProviderSettings::Instance { endpoint } => table.put_endpoint(endpoint.as_ref()),
        ProviderSettings::Ssm { name, region, endpoint } => {
            table.put("name", name.as_str());
            table.put_some("region", region.as_deref());
            table.put_endpoint(endpoint.as_ref());
        }
        ProviderSettings::SecretManager { resource, field, endpoint } => {
            table.put("resource", resource.as_str());
            table.put_some("field", field.as_deref());
            table.put_endpoint(endpoint.as_ref());
        }
        ProviderSettings::Environment { prefix } => table.put("prefix", prefix.as_str()),
        ProviderSettings::File { path, field } => {
            table.put("path", text(path));
            table.put_some("field", field.as_deref());
        }
        ProviderSettings::Profile { name } => table.put("name", name.as_str()),
        ProviderSettings::WebIdentity { role_arn, audience, region, endpoint } => {
            table.put("role_arn", role_arn.as_str());
            table.put_some("audience", audience.as_deref());
            table.put_some("region", region.as_deref());
            table.put_endpoint(endpoint.as_ref());
        }
        ProviderSettings::Google { audience, endpoint } => {
            table.put_some("audience", audience.as_deref());
            table.put_endpoint(endpoint.as_ref());
        }
        ProviderSettings::Anonymous => {}
    }
    table
}
