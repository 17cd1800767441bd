//! The predecessors' ini files, by the same flag: the cluster's as it ships, 3GSync's, and what is wrong with others.

use super::*;

const CLUSTER: &str = "\u{feff}; configure file for s3_migration_cluster master and worker nodes\r\n\r\n[Basic]\r\n\r\nJobType = PUT\r\n\
# JobType = PUT | GET, PUT 表示 EC2 跟目标 S3 不在一个 Account\r\n\r\ntable_queue_name = s3_migration_file_list\r\n\
sqs_queue_name = s3_migration_file_list\r\nssm_parameter_bucket = s3_migration_bucket_para\r\n\
ssm_parameter_credentials = s3_migration_credentials\r\n;{\r\n;    \"aws_access_key_id\": \"your_aws_access_key_id\"\r\n;}\r\n\
Des_bucket_default = hawkey999\r\nDes_prefix_default = s3-migration-test/\r\n\r\n[Mode]\r\nStorageClass = STANDARD_IA\r\n\
ResumableThreshold = 5\r\nMaxRetry = 20\r\nMaxThread = 20\r\nMaxParallelFile = 5\r\nJobTimeout = 3500\r\n\
JobsenderCompareVersionId = False\r\nUpdateVersionId = False\r\nGetObjectWithVersionId = False\r\n[Debug]\r\n\
CleanUnfinishedUpload = False\r\nLoggingLevel = WARNING\r\nLocalProfileMode = False\r\nifVerifyMD5Twice = False\r\nChunkSize = 5\r\n";

const GSYNC: &str = "[Basic]\nJobType = GET\nSrcEndPointURL = s3.amazonaws.com\nDestEndPointURL = storage.googleapis.com\n\
table_queue_name = t\nsqs_queue_name = q\nssm_parameter_bucket = unused\n\
ssm_parameter_credentials = projects/123/secrets/keys/versions/1\nDes_bucket_default = to\nDes_prefix_default =\n\
[Mode]\nStorageClass = STANDARD\nResumableThreshold = 50\nMaxThread = 5\n[Debug]\nChunkSize = 10\nLoggingLevel = INFO\n";

fn ini_with(text: &str, pairs: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let file = Path::new("/etc/skyferry/s3_migration_cluster_config.ini");
    Settings::parse(file, text, &environment(pairs))
}

fn ini(text: &str) -> Settings {
    ini_with(text, &[]).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_clusters_ini_is_taken_as_it_ships() {
    let s = ini(CLUSTER);
    assert_eq!(s.mode, Mode::Put);
    assert_eq!(s.credentials.source, Some(ProviderSettings::Instance { endpoint: None }));
    assert!(
        matches!(&s.credentials.destination, Some(ProviderSettings::Ssm { name, .. }) if name == "s3_migration_credentials")
    );
    assert_eq!((&s.credentials.queue, &s.credentials.ledger), (&s.credentials.source, &s.credentials.source));
    assert!(
        matches!((&s.source, &s.destination), (StoreSettings::S3(_), StoreSettings::S3(to)) if to.endpoint.is_none())
    );
    assert!(matches!(&s.ledger, LedgerSettings::DynamoDb { table, .. } if table == "s3_migration_file_list"));
    let route = &s.routes[0];
    assert_eq!((&*route.bucket, &*route.prefix), ("hawkey999", "s3-migration-test/"));
    assert_eq!(route.options.storage_class.as_deref(), Some("STANDARD_IA"));
    assert_eq!((s.transfer.multipart_threshold, s.transfer.part_size), (5 << 20, 5 << 20));
    assert_eq!((s.log.format, s.log.level), (LogFormat::Predecessor, LogLevel::Warn));
    assert_eq!(s.transfer.max_objects, None);
}

#[test]
fn every_key_of_an_ini_is_told_what_became_of_it() {
    let s = ini(CLUSTER);
    let keys = CLUSTER.lines().filter(|line| line.contains(" = ")).filter(|line| !line.starts_with(['#', ';']));
    for key in keys.map(|line| line.split(" = ").next().unwrap_or_default()) {
        let reported = s.notes.iter().filter(|note| note.contains(&format!(".{key} = "))).count();
        assert_eq!(reported, 1, "{key}: {:?}", s.notes);
    }
    let printed = s.to_toml();
    assert!(printed.starts_with("# ") && printed.contains("# Mode.MaxThread = \"20\" has no effect: "), "{printed}");
    assert!(printed.contains("# Mode.ResumableThreshold = \"5\" became transfer.multipart_threshold = \"5MiB\""));
    let again = with(&printed, &[]).unwrap();
    assert_eq!(Settings { notes: Vec::new(), ..s }, again, "the printed TOML means the same");
}

#[test]
fn get_in_the_cluster_reads_with_the_parameters_key_and_writes_with_the_role() {
    let s = ini(&CLUSTER.replace("JobType = PUT", "JobType = GET"));
    assert!(matches!(s.credentials.source, Some(ProviderSettings::Ssm { .. })));
    let role = Some(ProviderSettings::Instance { endpoint: None });
    assert_eq!(
        (s.credentials.destination, s.credentials.queue, s.credentials.ledger),
        (role.clone(), role.clone(), role)
    );
}

#[test]
fn a_secret_of_google_means_get_on_gce() {
    let s = ini(GSYNC);
    assert_eq!(s.mode, Mode::Get);
    let field = |provider: &Option<ProviderSettings>| match provider {
        Some(ProviderSettings::SecretManager { resource, field, .. }) if resource.ends_with("versions/1") => {
            field.clone()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(field(&s.credentials.source).as_deref(), Some("source"));
    assert_eq!(field(&s.credentials.destination).as_deref(), Some("destination"));
    assert_eq!(s.credentials.queue, s.credentials.source);
    assert!(
        matches!(&s.destination, StoreSettings::Gcs { endpoint } if endpoint.as_str() == "https://storage.googleapis.com")
    );
    assert!(matches!(&s.source, StoreSettings::S3(s3) if s3.endpoint.is_none()));
    assert!(matches!(&s.queues[..], [QueueSettings::Sqs { queue: QueueName::Name(name), .. }] if name == "q"));
    assert_eq!((s.transfer.multipart_threshold, s.transfer.part_size), (50 << 20, 10 << 20));
    assert_eq!(s.routes[0].prefix, "");
}

#[test]
fn put_from_ec2_to_google_has_its_key_in_ssm() {
    let text = GSYNC.replace("= GET", "= PUT").replace("projects/123/secrets/keys/versions/1", "key");
    let s = ini(&text);
    assert_eq!(s.credentials.source, Some(ProviderSettings::Instance { endpoint: None }));
    assert!(matches!(&s.credentials.destination, Some(ProviderSettings::Ssm { name, .. }) if name == "key"));
    assert!(matches!(s.destination, StoreSettings::Gcs { .. }));
    let error = ini_with(&GSYNC.replace("= GET", "= PUT"), &[]).unwrap_err().to_string();
    assert!(error.contains("Basic.ssm_parameter_credentials") && error.contains("SSM parameter"), "{error}");
}

#[test]
fn endpoints_of_ones_own_are_taken() {
    let text =
        GSYNC.replace("s3.amazonaws.com", "http://127.0.0.1:1").replace("storage.googleapis.com", "http://127.0.0.1:2");
    let s = ini(&text);
    assert!(
        matches!(&s.source, StoreSettings::S3(s3) if s3.endpoint.as_ref().unwrap().as_str() == "http://127.0.0.1:1")
    );
    assert!(matches!(&s.destination, StoreSettings::Gcs { endpoint } if endpoint.as_str() == "http://127.0.0.1:2"));
    let china = ini(&GSYNC.replace("storage.googleapis.com", "s3.cn-north-1.amazonaws.com.cn"));
    assert!(matches!(china.destination, StoreSettings::S3(s3) if s3.endpoint.as_ref().unwrap().is_https()));
}

#[test]
fn the_environment_overrides_an_ini_by_its_old_names_and_by_the_new() {
    let s = ini_with(
        CLUSTER,
        &[
            ("table_queue_name", "T"),
            ("sqs_queue_name", "Q"),
            ("ssm_parameter_bucket", "B"),
            ("SKYFERRY__LOG__FORMAT", "json"),
        ],
    )
    .unwrap();
    assert!(matches!(&s.ledger, LedgerSettings::DynamoDb { table, .. } if table == "T"));
    assert!(matches!(&s.queues[..], [QueueSettings::Sqs { queue: QueueName::Name(name), .. }] if name == "Q"));
    assert_eq!(s.log.format, LogFormat::Json);
    assert!(s.notes.iter().any(|note| note.ends_with("became bucket_pairs = \"ssm:B\"")), "{:?}", s.notes);
    let old = ini(&CLUSTER.replace("sqs_queue_name = s3_migration_file_list\r\n", ""));
    assert!(
        matches!(&old.queues[..], [QueueSettings::Sqs { queue: QueueName::Name(n), .. }] if n == "s3_migration_file_list")
    );
}

#[test]
fn switches_that_are_on_become_settings() {
    let text = CLUSTER
        .replace("GetObjectWithVersionId = False", "GetObjectWithVersionId = True")
        .replace("ifVerifyMD5Twice = False", "ifVerifyMD5Twice = on");
    let (on, off) = (ini(&text).transfer, ini(CLUSTER).transfer);
    assert_eq!((on.versions, on.verify), (VersionMode::Exact, VerifyMode::Md5));
    assert_eq!((off.versions, off.verify), (VersionMode::Latest, VerifyMode::Auto));
}

#[test]
fn local_profiles_stand_for_both_sides() {
    let s = ini(&CLUSTER.replace("LocalProfileMode = False", "LocalProfileMode = yes"));
    let profile = |name: &str| Some(ProviderSettings::Profile { name: name.into() });
    assert_eq!((s.credentials.source, s.credentials.destination), (profile("iad"), profile("zhy")));
}

#[test]
fn what_is_wrong_with_an_ini_is_told_with_its_key_and_its_place() {
    let text = CLUSTER
        .replace("JobTimeout", "JobTimout")
        .replace("ChunkSize = 5", "ChunkSize = 5MB")
        .replace("LoggingLevel = WARNING", "LoggingLevel = LOUD")
        .replace("LocalProfileMode = False", "LocalProfileMode = perhaps")
        .replace("JobType = PUT\r", "JobType = COPY\r");
    let error = ini_with(&text, &[]).unwrap_err().to_string();
    for expected in [
        "there is no setting Mode.JobTimout; did you mean Mode.JobTimeout?",
        "Debug.ChunkSize = \"5MB\" is not a whole number of MiB",
        "Debug.LoggingLevel = \"LOUD\"",
        "Debug.LocalProfileMode = \"perhaps\"",
        "Basic.JobType = \"COPY\" is not PUT or GET",
        "s3_migration_cluster_config.ini",
    ] {
        assert!(error.contains(expected), "{expected} in\n{error}");
    }
    let error = ini_with(&CLUSTER.replace("ChunkSize = 5", "ChunkSize = 1"), &[]).unwrap_err().to_string();
    assert!(error.contains("transfer.part_size") && error.contains("Debug.ChunkSize"), "{error}");
    // Needed only where no bucket pairs name the destinations.
    let without = CLUSTER.replace("Des_bucket_default = hawkey999", "Des_bucket_default =");
    assert_eq!(ini_with(&without, &[]).unwrap().routes, []);
    let without = without.replace("ssm_parameter_bucket = s3_migration_bucket_para", "");
    let error = ini_with(&without, &[]).unwrap_err();
    assert!(error.to_string().contains("destination.bucket is missing"), "{error}");
    assert!(ini_with("[Basic]\nnonsense", &[]).unwrap_err().to_string().contains("line 2"));
}

#[test]
fn an_ini_is_known_by_its_sections_under_any_name() {
    assert_eq!(with(CLUSTER, &[]).unwrap().mode, Mode::Put);
}

#[test]
fn the_ignore_list_beside_an_ini_is_taken_and_a_parameter_can_hold_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s3_migration_cluster_config.ini");
    std::fs::write(&file, CLUSTER).unwrap();
    let none = BTreeMap::<String, String>::new;
    assert_eq!(Settings::load(&file, none()).unwrap().ignore_list, None);
    let list = folder.path().join("s3_migration_ignore_list.txt");
    std::fs::write(&list, "*.tmp\n").unwrap();
    assert_eq!(Settings::load(&file, none()).unwrap().ignore_list, Some(ListLocation::File(list)));
    let text = format!("{}[filter]\nignore_list = \"ssm:s3_migrate_ignore_list\"\n", minimal());
    let s = with(&text, &[("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:5")]).unwrap();
    assert!(
        matches!(&s.ignore_list, Some(ListLocation::Ssm { name, endpoint: Some(_) }) if name == "s3_migrate_ignore_list")
    );
    assert!(s.to_toml().contains("ssm:s3_migrate_ignore_list"));
}

#[test]
fn the_jobsenders_bucket_list_beside_an_ini_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s3_migration_config.ini");
    std::fs::write(&file, GSYNC.replace("Des_bucket_default = to\n", "")).unwrap();
    let load = |pairs: &[(&str, &str)]| Settings::load(&file, environment(pairs));
    assert!(load(&[]).unwrap_err().to_string().contains("destination.bucket"), "nothing names a destination");
    let list = folder.path().join("jobsender_bucket_list.txt");
    std::fs::write(&list, "{\"src_bucket\":\"a\",\"des_bucket\":\"b\"}\n").unwrap();
    let s = load(&[]).unwrap();
    assert_eq!(s.bucket_pairs, Some(ListLocation::File(list)));
    assert!(s.notes.iter().any(|note| note.starts_with("jobsender_bucket_list.txt beside it")), "{:?}", s.notes);
    let elsewhere = load(&[("SKYFERRY__BUCKET_PAIRS", "ssm:pairs")]).unwrap();
    assert!(matches!(&elsewhere.bucket_pairs, Some(ListLocation::Ssm { name, .. }) if name == "pairs"));
    assert!(!elsewhere.notes.iter().any(|note| note.contains("beside it")), "{:?}", elsewhere.notes);
    // The cluster's ini names a parameter; what is beside settings in TOML is nobody's.
    std::fs::write(&file, CLUSTER).unwrap();
    assert!(matches!(&load(&[]).unwrap().bucket_pairs, Some(ListLocation::Ssm { .. })));
    let toml = folder.path().join("agent.toml");
    std::fs::write(&toml, minimal()).unwrap();
    assert_eq!(Settings::load(&toml, environment(&[])).unwrap().bucket_pairs, None);
}

proptest! {
    #[test]
    fn no_ini_makes_it_panic(text in "(\\[(Basic|Mode|Debug)\\]\n)?([A-Za-z_]{0,12} ?[=:] ?\\PC{0,12}\n){0,4}") {
        let _ = ini_with(&text, &[]);
    }
}
