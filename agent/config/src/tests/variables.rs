//! The variables by which the predecessors' Lambda functions were set, in the place of an ini.

use super::*;

const WORKER: [(&str, &str); 13] = [
    ("table_queue_name", "s3-migration-serverless-ddb"),
    ("Des_bucket_default", "copies"),
    ("Des_prefix_default", "from-aws"),
    ("StorageClass", "STANDARD_IA"),
    ("checkip_url", "https://checkip.amazonaws.com"),
    ("ssm_parameter_credentials", "s3_migration_credentials"),
    ("JobType", "PUT"),
    ("MaxRetry", "20"),
    ("MaxThread", "50"),
    ("MaxParallelFile", "1"),
    ("JobTimeout", "870"),
    ("UpdateVersionId", "False"),
    ("GetObjectWithVersionId", "True"),
];
const JOBSENDER: [(&str, &str); 13] = [
    ("table_queue_name", "s3-migration-serverless-ddb"),
    ("StorageClass", "STANDARD"),
    ("checkip_url", "https://checkip.amazonaws.com"),
    ("sqs_queue", "s3_migrate_file_list"),
    ("ssm_parameter_credentials", "s3_migration_credentials"),
    ("ssm_parameter_ignore_list", "s3_migrate_ignore_list"),
    ("ssm_parameter_bucket", "s3_migration_bucket_para"),
    ("JobType", "GET"),
    ("MaxRetry", "10"),
    ("JobsenderCompareVersionId", "True"),
    ("UpdateVersionId", "False"),
    ("GetObjectWithVersionId", "True"),
    ("Des_bucket_default", ""),
];

fn variables(pairs: &[(&str, &str)]) -> Settings {
    let environment = environment(pairs);
    assert!(Settings::has_legacy_variables(&environment));
    Settings::from_legacy_variables(&environment).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_variables_of_the_earlier_worker_are_its_settings() {
    let s = variables(&WORKER);
    assert_eq!((s.mode, &s.credentials.source), (Mode::Put, &Some(ProviderSettings::Instance { endpoint: None })));
    assert!(
        matches!(&s.credentials.destination, Some(ProviderSettings::Ssm { name, .. }) if name == "s3_migration_credentials")
    );
    assert!(matches!((&s.source, &s.destination), (StoreSettings::S3(_), StoreSettings::S3(_))));
    assert!(matches!(&s.ledger, LedgerSettings::DynamoDb { table, .. } if table == "s3-migration-serverless-ddb"));
    assert!(
        matches!(&s.queues[..], [QueueSettings::Sqs { queue: QueueName::Name(name), .. }] if !name.contains("ddb"))
    );
    let route = &s.routes[0];
    assert_eq!(
        (&*route.bucket, &*route.prefix, route.options.storage_class.as_deref()),
        ("copies", "from-aws", Some("STANDARD_IA"))
    );
    assert_eq!((s.transfer.versions, s.log.format), (VersionMode::Exact, LogFormat::Predecessor));
    assert!(s.follow_jobs && s.ignore_by_key && s.ledger_times == LedgerTimeFormat::Predecessor);
}

#[test]
fn the_variables_of_the_earlier_jobsender_are_its_settings() {
    let s = variables(&JOBSENDER);
    let ssm = |at: &Option<ListLocation>| match at {
        Some(ListLocation::Ssm { name, .. }) => name.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(ssm(&s.ignore_list), "s3_migrate_ignore_list");
    assert_eq!(ssm(&s.bucket_pairs), "s3_migration_bucket_para");
    assert!(
        matches!(&s.queues[..], [QueueSettings::Sqs { queue: QueueName::Name(name), .. }] if name == "s3_migrate_file_list")
    );
    assert!(matches!(&s.credentials.source, Some(ProviderSettings::Ssm { .. })));
    assert_eq!(s.credentials.destination, Some(ProviderSettings::Instance { endpoint: None }));
}

#[test]
fn every_variable_is_told_what_became_of_it() {
    for given in [&WORKER[..], &JOBSENDER[..]] {
        let s = variables(given);
        for (name, value) in given {
            let about = |note: &&String| note.starts_with(&format!("{name} "));
            assert_eq!(s.notes.iter().filter(about).count(), 1, "{name} = {value}: {:?}", s.notes);
        }
        assert!(s.to_toml().contains("# JobType = "), "{}", s.to_toml());
    }
}

#[test]
fn a_variable_of_ours_overrides_one_of_theirs_and_a_wrong_one_is_named() {
    let mut given = WORKER.to_vec();
    given.push(("SKYFERRY__DESTINATION__PREFIX", "other"));
    assert_eq!(variables(&given).routes[0].prefix, "other");
    given.push(("JobType", "COPY"));
    let error = Settings::from_legacy_variables(&environment(&given)).unwrap_err().to_string();
    assert!(error.contains("JobType = \"COPY\"") && error.contains("environment variable JobType"), "{error}");
}

#[test]
fn an_environment_without_them_is_not_theirs() {
    let plain = environment(&[("AWS_REGION", "eu-west-1"), ("table_queue_name", "")]);
    assert!(!Settings::has_legacy_variables(&plain));
}
