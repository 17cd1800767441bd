//! The table of permissions against peers that allow exactly what it names: the journeys pass, and whatever is left out is named
//! by `check`.

use sandbox::{Fault, Front, Inside, Operation, Rule, S3Options, S3Peer};
use skyferry_core::permissions::{self, Role};

use crate::stage::{LIST, SINK, SOURCE, Stage, errors, eventually};

/// The verb of the peers that a request of the table is.
fn operation(request: &str) -> Operation {
    match request {
        "GetObject" => Operation::GetObject,
        "HeadObject" => Operation::HeadObject,
        "PutObject" => Operation::PutObject,
        "DeleteObject" => Operation::DeleteObject,
        "ListObjectsV2" => Operation::ListObjects,
        "CreateMultipartUpload" => Operation::CreateUpload,
        "UploadPart" => Operation::UploadPart,
        "CompleteMultipartUpload" => Operation::CompleteUpload,
        "AbortMultipartUpload" => Operation::AbortUpload,
        "ListParts" => Operation::ListParts,
        "ListMultipartUploads" => Operation::ListUploads,
        other => panic!("{other} is no request of the table"),
    }
}

fn denied(operation: Operation) -> Rule {
    let denied = Fault::Refuse { status: 403, code: "AccessDenied".into(), retry_after: None };
    Rule::on(operation, denied).always()
}

/// What a role is always allowed, a row an action.
fn always(role: Role) -> Vec<(&'static str, &'static [&'static str])> {
    let rows = permissions::of(role).filter(|permission| permission.only_for.is_none());
    rows.map(|permission| (permission.action, permission.requests)).collect()
}

/// Everything else is denied.
fn allow_only(peer: &Inside, role: Role) {
    let allowed: Vec<Operation> =
        always(role).iter().flat_map(|(_, requests)| requests.iter().map(|request| operation(request))).collect();
    for one in Operation::ALL.into_iter().filter(|one| !allowed.contains(one)) {
        peer.faults().add(denied(one));
    }
}

/// From an S3 with objects to another one (or to the stage's GCS), queue and ledger behind a front.
struct Walled {
    stage: Stage,
    source: S3Peer,
    destination: S3Peer,
    front: Front,
}

impl Walled {
    async fn new(onto_gcs: bool) -> Walled {
        let stage = Stage::new().await;
        let peer = |bucket: &str| {
            let options = S3Options { buckets: vec![bucket.into()], ..S3Options::default() };
            S3Peer::start(options).expect("an S3 peer")
        };
        let (source, destination) = (peer(SOURCE), peer(SINK));
        let front = Front::start(stage.cloud.address()).expect("a front");
        let keys = std::fs::read_to_string(stage.folder.path("keys.json")).expect("keys");
        let keys = keys.replace("\"SANDBOX\"", &format!("\"{}\"", S3Peer::ACCESS_ID));
        let keys = keys.replace("\"sandbox\"", &format!("\"{}\"", S3Peer::SECRET));
        let keys = match onto_gcs {
            true => keys,
            false => keys
                .replace(sandbox::GcsPeer::ACCESS_ID, S3Peer::ACCESS_ID)
                .replace(sandbox::GcsPeer::SECRET, S3Peer::SECRET),
        };
        std::fs::write(stage.folder.path("keys.json"), keys).expect("written");
        let there = match onto_gcs {
            true => String::new(),
            false => format!("kind = \"s3\"\nregion = \"us-east-1\"\nendpoint = \"{}\"", destination.endpoint()),
        };
        stage.settings(&format!(
            r#"
            queue.endpoint = "{front}"
            ledger.endpoint = "{front}"
            source.endpoint = "{source}"
            [destination]
            {there}
            [transfer]
            multipart_threshold = "6MiB"
            part_size = "5MiB"
            deletes = true
            max_delete_share = 100
            "#,
            front = front.endpoint(),
            source = source.endpoint()
        ));
        source.set_object(SOURCE, "small", "hello").expect("put");
        source.put_synthetic(SOURCE, "large", 11 << 20, 7).expect("put");
        Walled { stage, source, destination, front }
    }

    fn checked(&self) -> (Option<i32>, String) {
        let output = self.stage.run(&["check"]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &errors(&output))
    }

    /// Without this action `check` fails, or warns where agents can do without, and names it.
    fn names(&self, action: &str) {
        let (code, said) = self.checked();
        assert!(said.contains(action), "{action} is not named ({code:?}): {said}");
        assert!(said.contains("FAILED") || said.contains("warning"), "{action}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_queue_s_or_the_ledger_s_keys_lack_is_named_by_check() {
    for (action, requests) in [Role::Queue, Role::DeadLetters, Role::Ledger].into_iter().flat_map(always) {
        let walled = Walled::new(true).await;
        for request in requests {
            walled.front.deny(request);
        }
        // A dead letter is sent as messages are.
        walled.front.deny(&format!("{}Batch", requests[0]));
        walled.names(action);
        assert_eq!(walled.checked().0, Some(1), "{action}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_source_s_or_the_destination_s_keys_lack_is_named_by_check() {
    let (onto_s3, onto_gcs) = (Walled::new(false).await, Walled::new(true).await);
    for (role, walled, peer) in [
        (Role::Source, &onto_s3, &*onto_s3.source as &Inside),
        (Role::Destination, &onto_s3, &*onto_s3.destination),
        (Role::Google, &onto_gcs, &*onto_gcs.stage.gcs),
    ] {
        for (action, requests) in always(role) {
            for request in requests {
                peer.faults().add(denied(operation(request)));
            }
            walled.names(action);
            peer.faults().clear();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_exactly_what_the_table_names_every_journey_passes() {
    for onto_gcs in [false, true] {
        let walled = Walled::new(onto_gcs).await;
        let stage = &walled.stage;
        allow_only(&walled.source, Role::Source);
        let (sink, role): (&Inside, Role) =
            if onto_gcs { (&stage.gcs, Role::Google) } else { (&walled.destination, Role::Destination) };
        allow_only(sink, role);
        let roles = [Role::Queue, Role::DeadLetters, Role::Ledger].into_iter().flat_map(always);
        let only_for_check = ["DescribeTable", "DescribeTimeToLive"];
        walled.front.allow_only(roles.flat_map(|(_, requests)| requests.iter().copied()).chain(["SendMessageBatch"]));

        let copies = |key: &str| sink.object(SINK, &format!("backup/{key}")).is_some();
        assert_eq!(stage.told(&["scan"])["sent"], 2);
        let agent = stage.agent().await;
        eventually("small and large", async || copies("small") && copies("large")).await;
        walled.source.remove_object(SOURCE, "small");
        let deleted = stage.run(&["scan", "--deletes", "--json"]);
        assert!(String::from_utf8_lossy(&deleted.stdout).contains("\"sent\":1"), "{deleted:?}");
        eventually("a deletion", async || !copies("small")).await;
        stage.cloud.send_message(LIST, "not a job").await.expect("sent");
        let dead = format!("{LIST}-dead");
        eventually("a parked message", async || {
            stage.cloud.depth(&dead).await.expect("a depth").iter().sum::<u64>() == 1
        })
        .await;
        agent.stop().await;
        let verified = stage.run(&["verify", "--head"]);
        assert_eq!(verified.status.code(), Some(0), "{}", errors(&verified));
        let cleaned = stage.run(&["clean", "--dry-run"]);
        assert_eq!(cleaned.status.code(), Some(0), "{}", errors(&cleaned));
        for request in only_for_check {
            walled.front.allow(request);
        }
        let (_, said) = walled.checked();
        assert!(!said.to_lowercase().contains("denied"), "{said}");
    }
}
