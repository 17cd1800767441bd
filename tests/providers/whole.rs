//! The predecessors' ini files end to end, as somebody who moves over starts them: a foreign client puts objects, events come by
//! SQS, the copies arrive, the messages are gone and the table is true.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox::{AwsKeysPeer, Ec2Peer, GcsOptions, GcsPeer, Ministack, PeerFault, S3Options, S3Peer, SeaweedFs};
use serde_json::json;
use skyferry_agent::shutdown::Shutdown;
use skyferry_agent::wiring::{Agent, RunUntil};
use skyferry_config::{CredentialSettings, ProviderSettings, S3Settings, Settings, StoreSettings};

use crate::{OnGoogle, SECRET};

const LIST: &str = "s3_migration_file_list";

fn pair(id: &str, secret: &str, region: &str) -> String {
    format!(r#"{{"aws_access_key_id":"{id}","aws_secret_access_key":"{secret}","region":"{region}"}}"#)
}

/// Amazon's side: a bucket whose events go to the predecessors' queue, their table, and a machine's folder.
struct Amazon {
    cloud: Ministack,
    folder: tempfile::TempDir,
}

impl Amazon {
    async fn new() -> Amazon {
        let (cloud, folder) = (Ministack::start().await.expect("ministack"), tempfile::tempdir().expect("a folder"));
        cloud.create_queue_with_dead_letters(LIST, 30, 5).await.expect("a queue");
        cloud.create_bucket_with_events("photos", LIST).await.expect("a bucket");
        let path = folder.path().join("stack.json");
        std::fs::write(&path, pair("SANDBOX", "sandbox", Ministack::REGION)).expect("written");
        fixture::create_table(&cloud, LIST).await;
        Amazon { cloud, folder }
    }

    fn settings(&self, ini: &str, environment: &[(&str, String)]) -> Settings {
        let mut all = BTreeMap::from([("AWS_ENDPOINT_URL".to_owned(), self.cloud.endpoint())]);
        all.extend(environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        all.insert("SKYFERRY__STATUS__LISTEN".into(), "off".into());
        let file = self.folder.path().join("s3_migration_cluster_config.ini");
        Settings::parse(&file, ini, &all).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Puts objects as any client would, lets an agent drain the queue, and looks at queue and table.
    async fn moves_over(&self, settings: &Settings) {
        self.cloud.put_object("/photos/a%20b", "small").await.expect("put");
        self.cloud.put_object("/photos/empty", "").await.expect("put");
        let agent = Agent::build(settings).await.unwrap_or_else(|error| panic!("{error}"));
        let output = agent.description().join("\n");
        assert!(
            output.contains(&format!("queue: SQS {LIST}")) && output.contains(&format!("DynamoDB {LIST}")),
            "{output}"
        );
        let run = agent.run(RunUntil::Empty, Shutdown::default());
        let report = tokio::time::timeout(Duration::from_secs(120), run).await.expect("it empties").expect("a run");
        assert_eq!((report.summary.copied, report.summary.parked), (2, 0), "{output}");
        assert_eq!(self.cloud.depth(LIST).await.expect("a depth"), [0, 0, 0]);
        assert_eq!(self.cloud.depth(&format!("{LIST}-dead")).await.expect("a depth"), [0, 0, 0]);
        let row = self.cloud.item(LIST, "photos/a b").await.expect("asked").expect("a row");
        assert_eq!((&row["desKey"]["S"], &row["jobStatus"]["SS"]), (&json!("new/a b"), &json!(["DONE"])), "{row}");
        // `Sat Nov 21 15:04:05 2026`
        for text in [&row["endTime_f"]["S"], &row["startTime_f"]["SS"][0]] {
            let text = text.as_str().unwrap_or_default();
            assert!(text.len() == 24 && text.split_whitespace().count() == 5, "{row}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn put_to_china_moves_over_with_the_clusters_ini_on_ministack_and_seaweedfs() {
    let (amazon, seaweedfs) = (Amazon::new().await, SeaweedFs::start(&["china"]).await.expect("SeaweedFS"));
    let machine = Ec2Peer::start().expect("a metadata service");
    machine.set_region(Ministack::REGION);
    let key = pair(SeaweedFs::ACCESS_ID, SeaweedFs::SECRET, "cn-northwest-1");
    let parameter = json!({"Name": "s3_migration_credentials", "Type": "SecureString", "Value": key});
    amazon.cloud.call("AmazonSSM.PutParameter", parameter).await.expect("a parameter");
    let ini = "[Basic]\nJobType = PUT\nssm_parameter_credentials = s3_migration_credentials\n\
               Des_bucket_default = china\nDes_prefix_default = new/\n[Mode]\nResumableThreshold = 8\n[Debug]\nChunkSize = 5\n";
    let settings = amazon.settings(
        ini,
        &[
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.endpoint()),
            ("SKYFERRY__DESTINATION__ENDPOINT", seaweedfs.endpoint()),
        ],
    );
    amazon.moves_over(&settings).await;
    let row = amazon.cloud.item(LIST, "photos/a b").await.expect("asked").expect("a row");
    assert_eq!(row["instanceID"]["SS"], json!([Ec2Peer::INSTANCE_ID]), "{row}");
    assert_eq!(machine.refused(), 0, "version 1 was asked");

    // The same way back, as GET does it: read with the parameter's key what was written.
    let back = amazon.folder.path().join("back");
    let mut settings = settings.clone();
    settings.source = match settings.destination.clone() {
        StoreSettings::S3(s3) => StoreSettings::S3(S3Settings { region: None, ..s3 }),
        other => other,
    };
    settings.destination = StoreSettings::Directory { path: back.clone(), metadata: None };
    let from = settings.credentials.destination.clone();
    assert!(matches!(from, Some(ProviderSettings::Ssm { .. })));
    settings.credentials = CredentialSettings { source: from, destination: None, ..settings.credentials };
    let agent = Agent::build(&settings).await.unwrap_or_else(|error| panic!("{error}"));
    let job = json!({"Src_bucket": "china", "Src_key": "new/a b", "Size": 5, "versionId": "null",
                     "Des_bucket": "china", "Des_key": "new/new/a b"});
    agent.queue().send(&[job.to_string()]).await.expect("sent");
    let run = agent.run(RunUntil::Empty, Shutdown::default());
    let report = tokio::time::timeout(Duration::from_secs(120), run).await.expect("it empties").expect("a run");
    assert_eq!((report.summary.copied, report.summary.parked), (1, 0));
    assert_eq!(std::fs::read(back.join("new/new/a b")).expect("there"), b"small");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn get_on_google_moves_over_with_3gsyncs_ini_on_ministack() {
    let (amazon, google) = (Amazon::new().await, OnGoogle::start());
    let gcs = GcsOptions { buckets: vec!["copies".into()], ..GcsOptions::default() };
    let gcs = GcsPeer::start(gcs).expect("a GCS");
    let (source, destination) =
        (pair("SANDBOX", "sandbox", Ministack::REGION), pair(GcsPeer::ACCESS_ID, GcsPeer::SECRET, "auto"));
    google.secrets.add(SECRET, format!(r#"{{"source":{source},"destination":{destination}}}"#));
    let ini = format!(
        "\u{feff}[Basic]\r\nJobType = GET\r\nSrcEndPointURL = {}\r\nDestEndPointURL = {}\r\n\
         ssm_parameter_credentials = {SECRET}/versions/1\r\nDes_bucket_default = copies\r\nDes_prefix_default = new\r\n",
        amazon.cloud.endpoint(),
        gcs.endpoint()
    );
    let endpoint = google.secrets.endpoint();
    let settings = amazon.settings(
        &ini,
        &[
            ("GCE_METADATA_HOST", google.metadata.host()),
            ("SKYFERRY__CREDENTIALS__SOURCE__ENDPOINT", endpoint.clone()),
            ("SKYFERRY__CREDENTIALS__DESTINATION__ENDPOINT", endpoint),
        ],
    );
    amazon.moves_over(&settings).await;
    assert_eq!(gcs.read("copies", "new/a b").expect("there"), b"small");
    assert_eq!(google.secrets.count(":access"), 2, "source, queue and ledger share one");
}

/// The cluster's stack, its destination in China, and a parameter store that knows who may read what.
struct Cluster {
    amazon: Amazon,
    china: S3Peer,
    machine: Ec2Peer,
    parameters: AwsKeysPeer,
}

const PAIRS: &str = "s3_migration_bucket_para";

impl Cluster {
    async fn new() -> Cluster {
        let (amazon, machine) = (Amazon::new().await, Ec2Peer::start().expect("a metadata service"));
        machine.set_region(Ministack::REGION);
        let china = S3Options { buckets: vec!["china".into(), "second".into()], ..S3Options::default() };
        let china = S3Peer::start(china).expect("an S3");
        let key = pair(S3Peer::ACCESS_ID, S3Peer::SECRET, "us-east-1");
        let parameter = json!({"Name": "s3_migration_credentials", "Type": "SecureString", "Value": key});
        amazon.cloud.call("AmazonSSM.PutParameter", parameter).await.expect("a parameter");
        let parameters = AwsKeysPeer::start().expect("SSM");
        parameters.admit(Ec2Peer::ACCESS_ID);
        parameters
            .put(PAIRS, r#"[{"src_bucket":"photos","src_prefix":"","des_bucket":"second","des_prefix":"backup"}]"#);
        Cluster { amazon, china, machine, parameters }
    }

    /// As the cluster ships it. `default`: its line for events, if it has one.
    fn settings(&self, default: &str) -> Settings {
        let ini = format!(
            "[Basic]\nJobType = PUT\nssm_parameter_credentials = s3_migration_credentials\n\
             ssm_parameter_bucket = {PAIRS}\n{default}\n[Mode]\nResumableThreshold = 8\n[Debug]\nChunkSize = 5\n"
        );
        self.amazon.settings(
            &ini,
            &[
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.machine.endpoint()),
                ("AWS_ENDPOINT_URL_SSM", self.parameters.endpoint()),
                ("SKYFERRY__CREDENTIALS__DESTINATION__ENDPOINT", self.amazon.cloud.endpoint()),
                ("SKYFERRY__DESTINATION__ENDPOINT", self.china.endpoint()),
            ],
        )
    }

    /// Objects, whose events are taken out, and their jobsender's messages for them.
    async fn send(&self, count: usize) {
        for number in 0..count {
            self.amazon.cloud.put_object(&format!("/photos/in/{number}"), "small").await.expect("put");
        }
        self.amazon.cloud.purge(LIST).await.expect("purged");
        for number in 0..count {
            let job = json!({"Src_bucket": "photos", "Src_key": format!("in/{number}"), "Size": 5, "versionId": "null",
                             "Des_bucket": "second", "Des_key": format!("backup/in/{number}")});
            self.amazon.cloud.send_message(LIST, &job.to_string()).await.expect("sent");
        }
    }

    /// All of them, and no dead letter.
    async fn copies(&self, settings: &Settings, count: u64) {
        let agent = Agent::build(settings).await.unwrap_or_else(|error| panic!("{error}"));
        let run = agent.run(RunUntil::Empty, Shutdown::default());
        let report = tokio::time::timeout(Duration::from_secs(120), run).await.expect("it empties").expect("a run");
        assert_eq!((report.summary.copied, report.summary.parked), (count, 0));
        assert_eq!(self.amazon.cloud.depth(&format!("{LIST}-dead")).await.expect("a depth"), [0, 0, 0]);
        for number in 0..count {
            assert_eq!(self.china.read("second", &format!("backup/in/{number}")).expect("there"), b"small");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_c1_the_old_workers_role_copies_the_old_jobsenders_jobs_on_ministack() {
    let cluster = Cluster::new().await;
    cluster.parameters.deny(PAIRS);
    cluster.send(30).await;
    let settings = cluster.settings("Des_bucket_default = china");
    cluster.copies(&settings, 30).await;
    // Switched off, the jobs wait, and `--validate` tells what lacks.
    let agent =
        Agent::build(&Settings { follow_jobs: false, ..settings }).await.unwrap_or_else(|error| panic!("{error}"));
    let lacks = agent.check().await.expect_err("the pairs cannot be read").to_string();
    assert!(lacks.contains(PAIRS) && lacks.contains("ssm:GetParameter"), "{lacks}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_c2_jobs_wait_while_the_pairs_cannot_be_read_on_ministack() {
    let cluster = Cluster::new().await;
    cluster.send(20).await;
    // The first read, with its second try.
    cluster.parameters.inject("POST /", PeerFault::Status(500), 2);
    cluster.copies(&cluster.settings("Des_bucket_default = china"), 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_c9_pairs_may_name_every_destination_on_ministack() {
    let cluster = Cluster::new().await;
    cluster.send(1).await;
    let settings = cluster.settings("");
    assert_eq!(settings.routes, []);
    cluster.copies(&settings, 1).await;
}
