//! The ini of the predecessors' single node (`s3_upload_config.ini`, `s3_download_config.ini`) as the `skyferry copy` that it
//! means. Keys in it stay in the file: the command names the file and the section that holds them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::Parser;
use skyferry_config::ini;

use super::arguments::Arguments;
use crate::cli::Flags;

/// What of theirs needs no setting here.
const WITHOUT_EFFECT: [&str; 6] =
    ["MaxRetry", "MaxThread", "MaxParallelFile", "ifVerifyMD5", "DontAskMeToClean", "LoggingLevel"];

/// The command without its program and verb.
#[derive(Debug)]
pub struct CopyCommand {
    words: Vec<OsString>,
    notes: Vec<String>,
}

/// A command line whose later flags replace earlier ones.
#[derive(Parser)]
#[command(name = "skyferry copy", args_override_self = true)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
    // They were understood before.
    #[command(flatten)]
    _flags: Flags,
}

impl CopyCommand {
    /// For people: the command as they could type it, and what of the file it leaves out.
    pub fn describe(&self, file: &Path) -> String {
        let words: Vec<String> = self.words.iter().map(|word| quoted(&word.to_string_lossy())).collect();
        let notes: String = self.notes.iter().map(|note| format!("\n  {note}")).collect();
        format!("{} means: skyferry copy {}{notes}", file.display(), words.join(" "))
    }

    /// The same as parsed, with what was typed beside `--config`.
    pub fn arguments(&self, typed: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
        let mut more = Vec::new();
        let mut typed = typed.into_iter().skip(1).filter(|word| word != "copy");
        while let Some(word) = typed.next() {
            match word.to_str() {
                Some("--config") => drop(typed.next()),
                Some(word) if word.starts_with("--config=") => {}
                _ => more.push(word),
            }
        }
        let words = [OsString::from("skyferry copy")].into_iter().chain(self.words.iter().cloned()).chain(more);
        Line::try_parse_from(words).map(|line| line.arguments)
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

pub fn read(file: &Path) -> anyhow::Result<CopyCommand> {
    let text = std::fs::read_to_string(file)?;
    let absolute = std::path::absolute(file)?;
    Ini::parse(&text)?.copy_command(&absolute.to_string_lossy())
}

/// Options by section and key, both in small letters.
struct Ini {
    values: BTreeMap<(String, String), String>,
    /// As they are written.
    keys: Vec<String>,
}

impl Ini {
    fn parse(text: &str) -> anyhow::Result<Ini> {
        let entries = ini::parse(text).map_err(anyhow::Error::msg)?;
        let keys = entries.iter().map(|entry| entry.key.clone()).collect();
        let low = |text: &str| text.to_ascii_lowercase();
        let values = entries.into_iter().map(|entry| ((low(&entry.section), low(&entry.key)), entry.value)).collect();
        Ok(Ini { values, keys })
    }

    /// Empty where it is not there.
    fn get(&self, section: &str, key: &str) -> &str {
        self.values.get(&(section.to_ascii_lowercase(), key.to_ascii_lowercase())).map_or("", String::as_str)
    }

    fn needed(&self, section: &str, key: &str) -> anyhow::Result<&str> {
        Some(self.get(section, key))
            .filter(|value| !value.is_empty())
            .with_context(|| format!("{section}.{key} is missing"))
    }

    fn copy_command(&self, file: &str) -> anyhow::Result<CopyCommand> {
        let mut notes = Vec::new();
        let left: Vec<&str> = WITHOUT_EFFECT
            .into_iter()
            .filter(|key| self.keys.iter().any(|known| known.eq_ignore_ascii_case(key)))
            .collect();
        if !left.is_empty() {
            notes.push(format!("without effect: {}", left.join(", ")));
        }
        let prefix = self.get("Basic", "S3Prefix").trim_matches('/');
        if !prefix.is_empty() {
            notes.push(format!("S3Prefix is the folder {prefix}/"));
        }
        let index = match self.get("Basic", "SrcFileIndex") {
            "" | "*" => None,
            name => Some(name),
        };
        let within = |base: &str, name: Option<&str>| {
            let parts = [Some(base), name].into_iter().flatten().filter(|part| !part.is_empty());
            parts.collect::<Vec<_>>().join("/")
        };
        // A file goes into its own folder.
        let folder = index.and_then(|name| name.rsplit_once('/')).map(|(folder, _)| folder);
        let remote = |side: &Side| {
            let rest = if side.name == "source" { index } else { folder };
            format!("{}://{}", side.scheme, within(&within(side.bucket, Some(prefix)), rest))
        };
        let (from, to, flags) = if self.get("Basic", "JobType").is_empty() {
            let side = Side::new("source", self.needed("Basic", "SrcBucket")?, self.get("Basic", "EndPointURL"));
            let to = within(&within(self.needed("Basic", "DesDir")?.trim_end_matches('/'), Some(prefix)), folder);
            // Of one object, too, it is a directory.
            let to = if index.is_some() { format!("{to}/") } else { to };
            (remote(&side), to, side.flags(&self.profile("Basic", "SrcProfileName")))
        } else {
            let to = Side::new("destination", self.needed("Basic", "DesBucket")?, self.get("Basic", "DesEndpointURL"));
            let (from, mut flags) = self.upload(file, &remote, &within, index)?;
            flags.extend(to.flags(&self.profile("Basic", "DesProfileName")));
            (from, remote(&to), flags)
        };
        let mut words = vec![from, to];
        words.extend(flags);
        let more = [("StorageClass", "--storage-class", ""), ("ChunkSize", "--part-size", "MiB")];
        for (key, flag, unit) in more {
            let value = self.get("Advanced", key);
            if !value.is_empty() {
                words.extend([flag.into(), format!("{value}{unit}")]);
            }
        }
        Ok(CopyCommand { words: words.into_iter().map(OsString::from).collect(), notes })
    }

    /// SRC of an upload, and its flags.
    fn upload(
        &self,
        file: &str,
        remote: &dyn Fn(&Side) -> String,
        within: &dyn Fn(&str, Option<&str>) -> String,
        index: Option<&str>,
    ) -> anyhow::Result<(String, Vec<String>)> {
        match self.get("Basic", "JobType").to_ascii_uppercase().as_str() {
            "LOCAL_TO_S3" => {
                Ok((within(self.needed("LOCAL_TO_S3", "SrcDir")?.trim_end_matches('/'), index), Vec::new()))
            }
            "S3_TO_S3" => {
                let section = "S3_TO_S3";
                let side = Side::new("source", self.needed(section, "SrcBucket")?, self.get(section, "SrcEndpointURL"));
                Ok((remote(&side), side.flags(&self.profile(section, "SrcProfileName"))))
            }
            "ALIOSS_TO_S3" => {
                let section = "ALIOSS_TO_S3";
                let bucket = self.needed(section, "ali_SrcBucket")?;
                let side = Side { scheme: "oss", ..Side::new("source", bucket, self.needed(section, "ali_endpoint")?) };
                self.needed(section, "ali_access_key_id")?;
                Ok((remote(&side), side.flags(&format!("file:{file}#{section}"))))
            }
            _ => bail!("Basic.JobType is one of LOCAL_TO_S3, S3_TO_S3, ALIOSS_TO_S3"),
        }
    }

    fn profile(&self, section: &str, key: &str) -> String {
        let name = self.get(section, key);
        format!("profile:{}", if name.is_empty() { "default" } else { name })
    }
}

/// A bucket at one side.
struct Side<'a> {
    name: &'static str,
    scheme: &'static str,
    bucket: &'a str,
    /// What the endpoint says beyond the scheme.
    flags: Vec<String>,
    /// The endpoint is of nobody who is known.
    is_generic: bool,
}

impl<'a> Side<'a> {
    fn new(name: &'static str, bucket: &'a str, endpoint: &str) -> Side<'a> {
        let host =
            endpoint.split_once("://").map_or(endpoint, |(_, host)| host).trim_end_matches('/').to_ascii_lowercase();
        let oss = host.strip_prefix("oss-").and_then(|rest| rest.strip_suffix(".aliyuncs.com"));
        let flag = |what: &str, value: &str| vec![format!("--{name}-{what}"), value.to_owned()];
        let url = || if endpoint.contains("://") { endpoint.to_owned() } else { format!("https://{endpoint}") };
        let (scheme, flags) = match host.as_str() {
            "" | "aws" | "s3.amazonaws.com" => ("s3", Vec::new()),
            "storage.googleapis.com" => ("gs", Vec::new()),
            _ if oss.is_some() => ("oss", flag("region", oss.unwrap_or_default())),
            of_amazon if of_amazon.contains(".amazonaws.com") => ("s3", flag("endpoint", &url())),
            _ => return Side { name, scheme: "s3", bucket, flags: flag("endpoint", &url()), is_generic: true },
        };
        Side { name, scheme, bucket, flags, is_generic: false }
    }

    fn flags(&self, credentials: &str) -> Vec<String> {
        let mut flags = self.flags.clone();
        // An oss:// has its own profile.
        if self.is_generic && self.scheme != "oss" {
            flags.extend([format!("--{}-profile", self.name), "generic".into()]);
        }
        flags.extend([format!("--{}-credentials", self.name), credentials.to_owned()]);
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> String {
        let meant = Ini::parse(text).and_then(|ini| ini.copy_command("/etc/up.ini")).expect("a command");
        meant.describe(Path::new("f")).lines().next().unwrap_or_default().replace("f means: skyferry copy ", "")
    }

    const UPLOAD: &str = "\u{feff}[Basic]\nJobType = LOCAL_TO_S3\n# a comment\nDesBucket = my-bucket\nS3Prefix = my prefix/\n\
        SrcFileIndex = *\nDesProfileName = default\n[LOCAL_TO_S3]\nSrcDir = /home/me/dir\n[S3_TO_S3]\nSrcBucket = from\n\
        SrcProfileName = iad\n[ALIOSS_TO_S3]\nali_SrcBucket = img\nali_access_key_id = hunter1\n\
        ali_access_key_secret = hunter2\nali_endpoint = oss-cn-beijing.aliyuncs.com\n[Advanced]\nChunkSize = 5\n\
        MaxRetry = 20\nStorageClass = STANDARD_IA\nifVerifyMD5 = False\n";

    #[test]
    fn every_job_type_is_the_command_that_it_means() {
        let end = "--storage-class STANDARD_IA --part-size 5MiB";
        let to = "'s3://my-bucket/my prefix'";
        assert_eq!(command(UPLOAD), format!("/home/me/dir {to} --destination-credentials profile:default {end}"));
        let one = UPLOAD.replace("= *", "= a.bin");
        assert!(command(&one).starts_with("/home/me/dir/a.bin 's3"), "{}", command(&one));
        assert_eq!(
            command(&UPLOAD.replace("= LOCAL_TO_S3", "= S3_TO_S3")),
            format!(
                "'s3://from/my prefix' {to} --source-credentials profile:iad --destination-credentials profile:default {end}"
            )
        );
        let oss = UPLOAD.replace("= LOCAL_TO_S3", "= ALIOSS_TO_S3");
        assert_eq!(
            command(&oss),
            format!(
                "'oss://img/my prefix' {to} --source-region cn-beijing --source-credentials 'file:/etc/up.ini#ALIOSS_TO_S3' --destination-credentials profile:default {end}"
            )
        );
    }

    #[test]
    fn a_download_goes_where_it_went() {
        let text = "[Basic]\nSrcProfileName = mine\nEndPointURL = AWS\nSrcBucket = b\nS3Prefix = p\nSrcFileIndex = *\nDesDir = /data/\n";
        assert_eq!(command(text), "s3://b/p /data/p --source-credentials profile:mine");
        let one = text.replace("= *", "= a/b").replace("AWS", "https://storage.googleapis.com");
        assert_eq!(command(&one), "gs://b/p/a/b /data/p/a/ --source-credentials profile:mine");
        let other = text.replace("AWS", "https://minio.example.com:9000").replace("= p\n", "= /\n");
        assert_eq!(
            command(&other),
            "s3://b /data --source-endpoint https://minio.example.com:9000 --source-profile generic --source-credentials profile:mine"
        );
    }

    #[test]
    fn what_is_typed_decides_and_what_is_missing_is_named() {
        let meant = Ini::parse(UPLOAD).and_then(|ini| ini.copy_command("/f")).expect("a command");
        let typed = ["skyferry", "copy", "--config", "f", "--dry-run", "--part-size", "8MiB"].map(OsString::from);
        let arguments = meant.arguments(typed).unwrap_or_else(|error| panic!("{error}"));
        assert!(arguments.job.dry_run && arguments.config.is_none());
        let transfer = arguments.job.transfer;
        assert_eq!((transfer.part_size.as_str(), transfer.storage_class.as_deref()), ("8MiB", Some("STANDARD_IA")));
        assert!(meant.describe(Path::new("f")).contains("without effect: MaxRetry, ifVerifyMD5"));
        let without = UPLOAD.replace("DesBucket = my-bucket\n", "");
        let error = Ini::parse(&without).and_then(|ini| ini.copy_command("/f")).expect_err("refused").to_string();
        assert_eq!(error, "Basic.DesBucket is missing");
    }
}
