//! The predecessors' ini files end to end, as somebody who moves over starts them: a foreign client puts objects, events come by
//! SQS, the copies arrive, the messages are gone and the table is true.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sandbox::{Ec2Peer, GcsOptions, GcsPeer, Ministack, Weed};
use serde_json::json;
use skyferry_agent::config::{Credentials, Provider, S3, Settings, Store};
use skyferry_agent::ledger::dynamodb::{self, DynamoOptions};
use skyferry_agent::notice::Shutdown;
use skyferry_agent::wiring::{Agent, Until};
use skyferry_providers::{Cached, File};

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
        let options = DynamoOptions {
            table: LIST.into(),
            region: None,
            endpoint: Some(cloud.endpoint()),
            machine: "i-sandbox".into(),
        };
        dynamodb::create(options, Arc::new(Cached::new(File { path, field: None }))).await.expect("a table");
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
        let said = agent.description().join("\n");
        assert!(said.contains(&format!("queue: SQS {LIST}")) && said.contains(&format!("DynamoDB {LIST}")), "{said}");
        let run = agent.run(Until::Empty, Shutdown::default());
        let report = tokio::time::timeout(Duration::from_secs(120), run).await.expect("it empties").expect("a run");
        assert_eq!((report.summary.copied, report.summary.parked), (2, 0), "{said}");
        assert_eq!(self.cloud.depth(LIST).await.expect("a depth"), [0, 0, 0]);
        assert_eq!(self.cloud.depth(&format!("{LIST}-dead")).await.expect("a depth"), [0, 0, 0]);
        let row = self.cloud.item(LIST, "photos/a b").await.expect("asked").expect("a row");
        assert_eq!((&row["desKey"]["S"], &row["jobStatus"]["SS"]), (&json!("new/a b"), &json!(["DONE"])), "{row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn put_to_china_moves_over_with_the_clusters_ini_on_ministack_and_seaweedfs() {
    let (amazon, weed) = (Amazon::new().await, Weed::start(&["china"]).await.expect("SeaweedFS"));
    let machine = Ec2Peer::start().expect("a metadata service");
    machine.set_region(Ministack::REGION);
    let key = pair(Weed::ACCESS_ID, Weed::SECRET, "cn-northwest-1");
    let parameter = json!({"Name": "s3_migration_credentials", "Type": "SecureString", "Value": key});
    amazon.cloud.call("AmazonSSM.PutParameter", parameter).await.expect("a parameter");
    let ini = "[Basic]\nJobType = PUT\nssm_parameter_credentials = s3_migration_credentials\n\
               Des_bucket_default = china\nDes_prefix_default = new/\n[Mode]\nResumableThreshold = 8\n[Debug]\nChunkSize = 5\n";
    let settings = amazon.settings(
        ini,
        &[
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.endpoint()),
            ("SKYFERRY__DESTINATION__ENDPOINT", weed.endpoint()),
        ],
    );
    amazon.moves_over(&settings).await;
    assert_eq!(machine.refused(), 0, "version 1 was asked");

    // The same way back, as GET does it: read with the parameter's key what was written.
    let back = amazon.folder.path().join("back");
    let mut settings = settings.clone();
    settings.source = match settings.destination.clone() {
        Store::S3(s3) => Store::S3(S3 { region: None, ..s3 }),
        other => other,
    };
    settings.destination = Store::Directory { path: back.clone() };
    let from = settings.credentials.destination.clone();
    assert!(matches!(from, Some(Provider::Ssm { .. })));
    settings.credentials = Credentials { source: from, destination: None, ..settings.credentials };
    let agent = Agent::build(&settings).await.unwrap_or_else(|error| panic!("{error}"));
    let job = json!({"Src_bucket": "china", "Src_key": "new/a b", "Size": 5, "versionId": "null",
                     "Des_bucket": "china", "Des_key": "new/new/a b"});
    agent.queue().send(&[job.to_string()]).await.expect("sent");
    let run = agent.run(Until::Empty, Shutdown::default());
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
