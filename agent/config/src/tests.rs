mod backlog;
mod copy_options;
mod drop_in;
mod variables;

use std::time::Duration;

use proptest::prelude::*;

use super::words::Words as _;
use super::*;

const SECRET: &str = "projects/p/secrets/s/versions/latest";

fn minimal() -> String {
    format!("[credentials]\nsource = {{ resource = {SECRET:?} }}\n[destination]\nbucket = \"b\"\n")
}

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn with(text: &str, pairs: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    Settings::parse(Path::new("/etc/skyferry/agent.toml"), text, &environment(pairs))
}

fn read(text: &str) -> Settings {
    with(text, &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn problems(text: &str, pairs: &[(&str, &str)]) -> String {
    match with(text, pairs) {
        Err(error @ ConfigError::Invalid(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_defaults_are_those_of_the_reference() {
    let s = read(&minimal());
    assert_eq!(s.mode, Mode::Get);
    assert_eq!(
        s.queues,
        [QueueSettings::Sqs { queue: QueueName::Name("s3_migration_file_list".into()), region: None, endpoint: None }]
    );
    assert!(matches!(&s.ledger, LedgerSettings::DynamoDb { table, .. } if table == "s3_migration_file_list"));
    assert!(
        matches!(&s.destination, StoreSettings::Gcs { endpoint } if endpoint.as_str() == "https://storage.googleapis.com")
    );
    assert!(matches!(&s.source, StoreSettings::S3(s3) if s3.profile == S3Dialect::Aws && !s3.path_style));
    assert_eq!(s.routes.len(), 1);
    assert_eq!(
        (s.routes[0].source_bucket.as_ref(), s.routes[0].options.storage_class.as_deref()),
        (None, Some("STANDARD"))
    );
    let t = &s.transfer;
    assert_eq!((t.multipart_threshold, t.part_size, t.memory_budget), (50 << 20, 16 << 20, 64 << 20));
    assert_eq!((t.max_objects, &t.max_bandwidth), (None, &BandwidthPlan::constant(0)));
    assert_eq!(t.stall_timeout, Duration::from_secs(120));
    assert_eq!(
        (t.verify, t.versions, t.deletes, t.metadata, t.tags),
        (VerifyMode::Auto, VersionMode::Latest, false, true, false)
    );
    assert_eq!(s.listen, Some(([127, 0, 0, 1], 9180).into()));
    assert_eq!((s.log.format, s.log.level, s.log.metrics), (LogFormat::Auto, LogLevel::Info, LogMetrics::Off));
    assert_eq!(s.ignore_list, None);
}

#[test]
fn get_takes_both_keys_from_one_secret_and_the_queue_follows_the_source() {
    let c = read(&minimal()).credentials;
    let field = |provider: &Option<ProviderSettings>| match provider {
        Some(ProviderSettings::SecretManager { resource, field, .. }) if resource == SECRET => field.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((field(&c.source), field(&c.destination)), (Some("source".into()), Some("destination".into())));
    assert_eq!((&c.queue, &c.ledger), (&c.source, &c.source));
}

#[test]
fn put_takes_the_machines_role_and_a_key_from_ssm() {
    let c = read("mode = \"put\"\n[destination]\nbucket = \"b\"").credentials;
    assert_eq!(c.source, Some(ProviderSettings::Instance { endpoint: None }));
    assert!(matches!(c.destination, Some(ProviderSettings::Ssm { name, .. }) if name == "s3_migration_credentials"));
    assert_eq!(c.queue, c.source);
}

#[test]
fn get_without_a_secret_says_what_is_missing() {
    let text = problems("[destination]\nbucket = \"b\"", &[]);
    assert!(text.contains("credentials.source.resource is missing"), "{text}");
}

#[test]
fn all_problems_are_told_at_once_with_name_value_and_place() {
    let text = format!(
        "{}[transfer]\npart_size = \"16 bananas\"\nstall_timeout = 5\nverify = \"sha\"\ndeletes = \"maybe\"\n[log]\nlevel = \"loud\"",
        minimal()
    );
    let text = problems(&text, &[("SKYFERRY__TRANSFER__MAX_OBJECTS", "many")]);
    assert_eq!(text.lines().count(), 6, "{text}");
    assert!(text.contains("transfer.part_size = \"16 bananas\" is not a size like"), "{text}");
    assert!(text.contains("(/etc/skyferry/agent.toml:"), "{text}");
    assert!(
        text.contains("transfer.max_objects = \"many\"")
            && text.contains("(environment variable SKYFERRY__TRANSFER__MAX_OBJECTS)")
    );
}

#[test]
fn an_unknown_key_names_the_nearest_known_one_and_its_place() {
    for (text, nearest) in [
        ("[transfer]\npartsize = 1", "transfer.partsize; did you mean transfer.part_size?"),
        ("[tranfser]\npart_size = 1", "tranfser; did you mean transfer?"),
        ("part_size = 1", "part_size; did you mean transfer.part_size?"),
        ("[[routes]]\nsource_buket = \"x\"", "routes[0].source_buket; did you mean routes[0].source_bucket?"),
        ("[credentials]\nsorce = 1", "credentials.sorce; did you mean credentials.source?"),
        ("[credentials.source]\nprovidr = 1", "credentials.source.providr; did you mean credentials.source.provider?"),
    ] {
        let found = problems(text, &[]);
        assert!(found.contains(nearest) && found.contains("agent.toml"), "{found}");
    }
    let found = problems(&minimal(), &[("SKYFERRY__TRANSFER__PARTSIZE", "1"), ("SKYFERRY__LOGS__LEVEL", "1")]);
    assert!(
        found.contains("did you mean transfer.part_size? (environment variable SKYFERRY__TRANSFER__PARTSIZE)"),
        "{found}"
    );
    assert!(found.contains("did you mean log? (environment variable SKYFERRY__LOGS__LEVEL)"), "{found}");
}

#[test]
fn the_environment_overrides_the_file() {
    let s = with(
        &format!("{}[transfer]\ndeletes = false\n[[routes]]\nsource_bucket = \"a\"", minimal()),
        &[
            ("SKYFERRY__TRANSFER__DELETES", "true"),
            ("SKYFERRY__TRANSFER__MAX_OBJECTS", "7"),
            ("SKYFERRY__CREDENTIALS__SOURCE", "environment:SRC_"),
            ("SKYFERRY__CREDENTIALS__DESTINATION__PROVIDER", "instance"),
            ("SKYFERRY__ROUTES__0__PREFIX", "p"),
            ("SKYFERRY__ROUTES__1__SOURCE_BUCKET", "z"),
            ("SKYFERRY_OTHER", "x"),
        ],
    )
    .unwrap();
    assert_eq!((s.transfer.deletes, s.transfer.max_objects), (true, Some(7)));
    assert_eq!(s.credentials.source, Some(ProviderSettings::Environment { prefix: "SRC_".into() }));
    assert_eq!(s.credentials.destination, Some(ProviderSettings::Instance { endpoint: None }));
    let buckets: Vec<_> = s.routes.iter().map(|r| (r.source_bucket.as_deref(), &*r.prefix)).collect();
    assert_eq!(buckets, [(Some("a"), "p"), (Some("z"), "")]);
}

#[test]
fn a_wild_index_in_the_environment_costs_nothing() {
    for name in
        ["SKYFERRY__ROUTES__99999999999__PREFIX", "SKYFERRY__ROUTES__5000__PREFIX", "SKYFERRY__0__X", "SKYFERRY____X"]
    {
        assert!(problems(&minimal(), &[(name, "x")]).contains(name));
    }
    assert!(problems(&minimal(), &[("SKYFERRY__ROUTES__3__SOURCE_BUCKET", "x")]).contains("routes[0]"));
}

#[test]
fn file_names_are_relative_to_the_settings_file() {
    let s = read(&format!(
        "{}[filter]\nignore_list = \"i.txt\"\n[queue]\nkind = \"embedded\"\npath = \"q.db\"\n[ledger]\nkind = \"embedded\"\npath = \"/abs.db\"",
        minimal()
    ));
    assert_eq!(s.ignore_list, Some(ListLocation::File("/etc/skyferry/i.txt".into())));
    assert_eq!(s.queues, [QueueSettings::Embedded { path: "/etc/skyferry/q.db".into(), events: None }]);
    assert_eq!(s.ledger, LedgerSettings::Embedded { path: "/abs.db".into() });
    assert_eq!((s.credentials.queue, s.credentials.ledger), (None, None));
}

#[test]
fn directories_need_no_credentials() {
    let s = read(
        "[source]\nkind = \"directory\"\npath = \"in\"\n[destination]\nkind = \"directory\"\npath = \"out\"\n\
         [queue]\nkind = \"embedded\"\n[ledger]\nkind = \"none\"",
    );
    assert_eq!(s.credentials, CredentialSettings { source: None, destination: None, queue: None, ledger: None });
    let text = problems(
        "[source]\nkind = \"directory\"\npath = \"in\"\n[destination]\nbucket=\"b\"\n[credentials]\ndestination=\"instance\"",
        &[],
    );
    assert!(text.contains("credentials.queue is missing"), "{text}");
}

#[test]
fn plain_http_needs_loopback_or_the_word() {
    let source = |lines: &str| format!("{}[source]\n{lines}", minimal());
    assert!(with(&source("endpoint = \"http://127.0.0.1:9000\""), &[]).is_ok());
    let text = problems(&source("endpoint = \"http://u:secret@minio:9000\""), &[]);
    assert!(text.contains("source.endpoint") && !text.contains("secret"), "{text}");
    assert!(problems(&source("endpoint = \"http://minio:9000\""), &[]).contains("allow_http"));
    assert!(with(&source("endpoint = \"http://minio:9000\"\nallow_http = true"), &[]).is_ok());
    assert!(
        problems(&minimal().replace(" }", ", endpoint = \"http://sm.example\" }"), &[])
            .contains("credentials.source.endpoint")
    );
}

#[test]
fn the_path_style_follows_endpoint_and_profile() {
    let style = |lines: &str| match read(&format!("{}[source]\n{lines}", minimal())).source {
        StoreSettings::S3(s3) => (s3.path_style, s3.profile),
        other => panic!("{other:?}"),
    };
    assert_eq!(style(""), (false, S3Dialect::Aws));
    assert_eq!(style("endpoint = \"http://127.0.0.1:1\""), (true, S3Dialect::Aws));
    assert_eq!(style("endpoint = \"https://oss-cn-hangzhou.aliyuncs.com\""), (false, S3Dialect::AliyunOss));
    assert_eq!(style("profile = \"generic\""), (true, S3Dialect::Generic));
    assert_eq!(style("profile = \"generic\"\npath_style = false"), (false, S3Dialect::Generic));
}

#[test]
fn awss_own_endpoint_variables_count_where_none_is_set() {
    let aws = [("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:2")];
    let s = with(&format!("{}[ledger]\nendpoint = \"http://127.0.0.1:3\"", minimal()), &aws).unwrap();
    let url = |endpoint: &Option<Endpoint>| endpoint.as_ref().map(|e| e.as_str().to_string());
    assert!(matches!(&s.source, StoreSettings::S3(s3) if url(&s3.endpoint).unwrap().ends_with(":1")));
    assert!(matches!(&s.queues[0], QueueSettings::Sqs { endpoint, .. } if url(endpoint).unwrap().ends_with(":2")));
    assert!(matches!(&s.ledger, LedgerSettings::DynamoDb { endpoint, .. } if url(endpoint).unwrap().ends_with(":3")));
    assert!(matches!(&s.destination, StoreSettings::Gcs { endpoint } if endpoint.is_https()));
}

#[test]
fn a_field_of_another_kind_is_not_passed_over() {
    let text = problems(&minimal().replace("resource", "provider = \"instance\", resource"), &[]);
    assert!(text.contains("credentials.source.resource does not belong to the provider instance"), "{text}");
    assert!(problems(&format!("{}path = \"x\"", minimal()), &[]).contains("destination.path does not belong"));
    assert!(problems(&format!("{}[queue]\nname=\"a\"\n[[queues]]\nname=\"b\"", minimal()), &[]).contains("[[queues]]"));
}

#[test]
fn an_unknown_provider_names_the_nearest() {
    for (given, nearest) in [("secret-manger", "did you mean secret-manager?"), ("instances", "did you mean instance?")]
    {
        let text = problems(&format!("{}[credentials.destination]\nprovider = {given:?}\n", minimal()), &[]);
        assert!(text.contains("credentials.destination.provider") && text.contains(nearest), "{text}");
    }
    let text = problems(&format!("{}[credentials.destination]\nprovider = \"kerberos-ticket\"\n", minimal()), &[]);
    assert!(text.contains("one of instance, ssm") && !text.contains("did you mean"), "{text}");
}

#[test]
fn the_clouds_own_variables_say_where_their_metadata_servers_are() {
    let own =
        [("GCE_METADATA_HOST", "metadata.local:80"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:5/")];
    let metadata = with(&minimal(), &own).unwrap().metadata;
    assert_eq!(metadata.google.unwrap().as_str(), "http://metadata.local:80");
    assert_eq!(metadata.amazon.unwrap().as_str(), "http://127.0.0.1:5");
    assert!(problems(&minimal(), &[("GCE_METADATA_HOST", "a/b?c")]).contains("GCE_METADATA_HOST is not the address"));
}

#[test]
fn toml_that_cannot_be_read_is_told_by_line_and_not_quoted() {
    let error = with("mode = \"get\"\n[log\nlevel = \"secret\"", &[]).unwrap_err().to_string();
    assert!(error.contains("line 2") && !error.contains("secret"), "{error}");
    assert!(with("mode = 99999999999999999999999", &[]).is_err());
    assert!(problems("mode = []\nqueue = 1\nroutes = 2\n[transfer.part_size]\nx = 1", &[]).lines().count() == 4);
}

#[test]
fn a_provider_on_the_command_line() {
    let from = |text: &str| ProviderSettings::from_argument(text, Path::new("/w"));
    assert_eq!(from("environment:SRC_"), Ok(ProviderSettings::Environment { prefix: "SRC_".into() }));
    assert_eq!(from("environment"), Ok(ProviderSettings::Environment { prefix: String::new() }));
    assert_eq!(
        from("file:k.json#source"),
        Ok(ProviderSettings::File { path: "/w/k.json".into(), field: Some("source".into()) })
    );
    assert_eq!(from("profile:zhy"), Ok(ProviderSettings::Profile { name: "zhy".into() }));
    assert_eq!(from("instance"), Ok(ProviderSettings::Instance { endpoint: None }));
    assert!(matches!(from("ssm:/a:b"), Ok(ProviderSettings::Ssm { name, .. }) if name == "/a:b"));
    assert!(
        matches!(from("secret-manager:projects/p#x"), Ok(ProviderSettings::SecretManager { field: Some(f), .. }) if f == "x")
    );
    assert!(matches!(from("web-identity:arn:aws:iam::1:role/r#aud"),
        Ok(ProviderSettings::WebIdentity { role_arn, audience: Some(_), .. }) if role_arn == "arn:aws:iam::1:role/r"));
    for bad in ["", "nothing", "ssm", "file:", "instance:x", "profile"] {
        assert!(from(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_shipped_files_are_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    for name in ["agent.get.toml", "agent.put.toml"] {
        let settings = Settings::load(&directory.join(name), BTreeMap::<String, String>::new()).unwrap();
        assert_eq!(settings.mode.keyword(), name.split('.').nth(1).unwrap());
        assert!(matches!(settings.ignore_list, Some(ListLocation::File(file)) if file.exists()));
        let text = std::fs::read_to_string(directory.join(name)).unwrap();
        assert_eq!(with(&text, &[]).unwrap().to_toml(), reread(&with(&text, &[]).unwrap()).to_toml());
    }
    let lists = ["ignore.txt", "prefixes.txt"].map(|name| std::fs::read_to_string(directory.join(name)).unwrap());
    assert!(lists.iter().all(|list| list.lines().all(|line| line.trim() == line && !line.is_empty())));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Settings::load(Path::new("/nowhere/agent.toml"), BTreeMap::<String, String>::new()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/agent.toml"));
}

fn reread(settings: &Settings) -> Settings {
    with(&settings.to_toml(), &[]).unwrap_or_else(|error| panic!("{error}\n{}", settings.to_toml()))
}

/// One of each table's variants, put together at random.
fn any_file() -> impl Strategy<Value = String> {
    fn pick(options: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
        prop::sample::select(options)
    }
    let credentials = pick(&[
        "source = { resource = \"r\" }\n",
        "source = \"instance\"\ndestination = \"environment:D_\"\nqueue = \"profile:q\"\n",
        "source = { provider = \"web-identity\", role_arn = \"a\", audience = \"b\", region = \"c\", endpoint = \"http://localhost:1\" }\n\
         destination = { provider = \"google\" }\nledger = \"file:f#x\"\n",
        "source = { provider = \"ssm\", name = \"n\", endpoint = \"http://x:1\", allow_http = true }\ndestination = \"file:/g\"\n",
    ]);
    let queue = pick(&[
        "",
        "[queue]\nurl = \"http://q:1/2/n\"\nallow_http = true\nregion = \"r\"\n",
        "[queue]\nkind = \"embedded\"\n",
        "[[queues]]\nname = \"a\"\n[[queues]]\nname = \"b\"\nendpoint = \"https://e:1\"\n",
    ]);
    let ledger = pick(&[
        "",
        "[ledger]\nkind = \"none\"\n",
        "[ledger]\nkind = \"embedded\"\n",
        "[ledger]\ntable = \"t\"\nregion = \"r\"\n",
    ]);
    let source = pick(&[
        "",
        "[source]\nregion = \"r\"\nrequest_payer = true\nexpected_owner = \"123456789012\"\n",
        "[source]\nkind = \"gcs\"\n",
        "[source]\nprofile = \"aliyun-oss\"\nendpoint = \"http://1.2.3.4\"\nallow_http = true\npath_style = false\n",
    ]);
    let destination = pick(&[
        "[destination]\nbucket = \"b\"\nprefix = \"p\"\n",
        "[destination]\nkind = \"s3\"\nbucket = \"b\"\nregion = \"cn-north-1\"\nstorage_class = \"\"\n",
        "[destination]\nkind = \"directory\"\npath = \"d\"\n",
        "[destination]\nbucket = \"b\"\nendpoint = \"http://127.0.0.1:9\"\nstorage_class = \"NEARLINE\"\n",
    ]);
    let routes = pick(&[
        "",
        "[[routes]]\nsource_bucket = \"s\"\n",
        "[[routes]]\nsource_bucket = \"s\"\nstrip_prefix = true\nsource_prefix = \"x\\u0001 \\\"ä\"\nstorage_class = \"\"\n\
         [[routes]]\nsource_bucket = \"t\"\nbucket = \"u\"\nprefix = \"v/\"\nstorage_class = \"ARCHIVE\"\n",
    ]);
    let rest = pick(&[
        "",
        "[status]\nlisten = \"off\"\n[filter]\nignore_list = \"i\"\n[log]\nformat = \"text\"\nlevel = \"WARN\"\n",
    ]);
    let transfer = (5u64 << 20..=5 << 30, any::<u64>(), 0u32.., 1_000u64..=3_600_000, any::<[bool; 3]>()).prop_map(
        |(part, bandwidth, objects, stall, [a, b, c])| {
            format!("[transfer]\npart_size = {part}\nmax_bandwidth = \"{bandwidth}\"\nmax_objects = {objects}\n\
                     stall_timeout = \"{stall}ms\"\ndeletes = {a}\nmetadata = {b}\ntags = {c}\nversions = \"exact\"\nverify = \"md5\"\n\
                     restore = {a}\nmax_delete_share = \"{}%\"\n", part % 101)
        },
    );
    (credentials, queue, ledger, source, destination, routes, (transfer, rest))
        .prop_map(|(c, q, l, s, d, r, (t, rest))| format!("[credentials]\n{c}{q}{l}{s}{d}{r}{t}{rest}"))
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_the_same_settings(text in any_file()) {
        let settings = with(&text, &[]).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(reread(&settings), settings);
    }

    #[test]
    fn no_text_and_no_environment_make_it_panic(text in "\\PC{0,60}", name in "SKYFERRY__[A-Z0-9_]{0,12}", value in "\\PC{0,8}") {
        let _ = with(&text, &[]);
        let _ = with(&minimal(), &[(&name, &value)]);
        let _ = ProviderSettings::from_argument(&value, Path::new(""));
    }
}

#[test]
fn fault_15_14_a_secret_typed_as_a_credentials_argument_is_not_echoed() {
    for typed in ["hunter2", "AKIA:hunter2", "secret-manager:hunter2", "web-identity:hunter2"] {
        if let Err(why) = ProviderSettings::from_argument(typed, Path::new("/w")) {
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
    assert!(ProviderSettings::from_argument("hunter2", Path::new("/w")).is_err());
}

#[test]
fn every_default_of_the_table_is_what_is_taken_where_nothing_is_set() {
    let base = read(&minimal());
    for (section, rows) in raw::SECTIONS {
        let kept =
            |name: &str| !["", "credentials", "routes"].contains(&section) || name == "mode" || name == "follow_jobs";
        for row in rows.iter().filter(|row| !row.default.is_empty() && kept(row.name)) {
            // Another kind's: what it is by default shows with that kind.
            if row.help.starts_with("embedded:") || (section, row.name) == ("destination", "profile") {
                continue;
            }
            let name = if section.is_empty() {
                row.name.to_uppercase()
            } else {
                format!("{section}__{}", row.name).to_uppercase()
            };
            let given = with(&minimal(), &[(&format!("SKYFERRY__{name}"), row.default)]);
            assert_eq!(given.unwrap_or_else(|error| panic!("{error}")), base, "{section}.{}", row.name);
        }
    }
}

#[test]
fn every_printed_setting_has_its_row_and_every_row_of_transfer_is_printed() {
    let printed = read(&minimal()).to_toml();
    for line in printed.lines().filter(|line| line.contains(" = ")) {
        assert!(line.contains("  # "), "{line}");
    }
    for row in raw::Transfer::ROWS {
        assert!(printed.contains(&format!("\n{} = ", row.name)), "{} in {printed}", row.name);
    }
}

#[test]
fn the_example_files_name_known_settings_also_where_they_are_commented_out() {
    for file in ["agent.get.toml", "agent.put.toml"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(file));
        let (mut section, mut seen) = (String::new(), 0);
        for line in text.expect("an example").lines() {
            if line.starts_with('[') {
                section = line.trim_matches(['[', ']']).to_owned();
            }
            let setting = line.trim_start_matches("# ").split_once(" = ").map(|(name, _)| name.trim());
            let Some(name) = setting.filter(|name| !name.contains([' ', ':'])) else { continue };
            let known = section == "credentials" && ["source", "destination"].contains(&name);
            assert!(known || raw::row(&section, name).is_some(), "{file}: [{section}] {name}");
            seen += 1;
        }
        assert!(seen > 20, "{file}: {seen}");
    }
}
