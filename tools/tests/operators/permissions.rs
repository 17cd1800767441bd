//! The table of permissions against peers that allow exactly what it names: the journeys pass, and whatever is left out is named
//! by `check`.

use sandbox::{Fault, InterceptingProxy, Operation, Rule, S3Options, S3Peer, StorePeer};
use skyferry_core::permissions::{self, Role};

use crate::fixture::{Fixture, LIST, SINK, SOURCE, errors, eventually};

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
    let rows = permissions::of_role(role).filter(|permission| permission.only_for.is_none());
    rows.map(|permission| (permission.action, permission.requests)).collect()
}

/// Everything else is denied.
fn allow_only(peer: &StorePeer, role: Role) {
    let allowed: Vec<Operation> =
        always(role).iter().flat_map(|(_, requests)| requests.iter().map(|request| operation(request))).collect();
    for one in Operation::ALL.into_iter().filter(|one| !allowed.contains(one)) {
        peer.faults().add(denied(one));
    }
}

/// From an S3 with objects to another one (or to the stage's GCS), queue and ledger behind a front.
struct Walled {
    fixture: Fixture,
    source: S3Peer,
    destination: S3Peer,
    front: InterceptingProxy,
}

impl Walled {
    async fn new(onto_gcs: bool) -> Walled {
        let fixture = Fixture::new().await;
        let peer = |bucket: &str| {
            let options = S3Options { buckets: vec![bucket.into()], ..S3Options::default() };
            S3Peer::start(options).expect("an S3 peer")
        };
        let (source, destination) = (peer(SOURCE), peer(SINK));
        let front = InterceptingProxy::start(fixture.cloud.address()).expect("a front");
        let keys = std::fs::read_to_string(fixture.folder.path("keys.json")).expect("keys");
        let keys = keys.replace("\"SANDBOX\"", &format!("\"{}\"", S3Peer::ACCESS_ID));
        let keys = keys.replace("\"sandbox\"", &format!("\"{}\"", S3Peer::SECRET));
        let keys = match onto_gcs {
            true => keys,
            false => keys
                .replace(sandbox::GcsPeer::ACCESS_ID, S3Peer::ACCESS_ID)
                .replace(sandbox::GcsPeer::SECRET, S3Peer::SECRET),
        };
        std::fs::write(fixture.folder.path("keys.json"), keys).expect("written");
        let there = match onto_gcs {
            true => String::new(),
            false => format!("kind = \"s3\"\nregion = \"us-east-1\"\nendpoint = \"{}\"", destination.endpoint()),
        };
        fixture.settings(&format!(
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
        Walled { fixture, source, destination, front }
    }

    fn checked(&self) -> (Option<i32>, String) {
        let output = self.fixture.run(&["check"]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &errors(&output))
    }

    /// Without this action `check` fails, or warns where agents can do without, and names it.
    fn names(&self, action: &str) {
        let (code, output) = self.checked();
        assert!(output.contains(action), "{action} is not named ({code:?}): {output}");
        assert!(output.contains("FAILED") || output.contains("warning"), "{action}: {output}");
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
        (Role::Source, &onto_s3, &*onto_s3.source as &StorePeer),
        (Role::Destination, &onto_s3, &*onto_s3.destination),
        (Role::Google, &onto_gcs, &*onto_gcs.fixture.gcs),
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
        let fixture = &walled.fixture;
        allow_only(&walled.source, Role::Source);
        let (sink, role): (&StorePeer, Role) =
            if onto_gcs { (&fixture.gcs, Role::Google) } else { (&walled.destination, Role::Destination) };
        allow_only(sink, role);
        let roles = [Role::Queue, Role::DeadLetters, Role::Ledger].into_iter().flat_map(always);
        let only_for_check = ["DescribeTable", "DescribeTimeToLive"];
        walled.front.allow_only(roles.flat_map(|(_, requests)| requests.iter().copied()).chain(["SendMessageBatch"]));

        let copies = |key: &str| sink.object(SINK, &format!("backup/{key}")).is_some();
        assert_eq!(fixture.reported(&["scan"])["sent"], 2);
        let agent = fixture.agent().await;
        eventually("small and large", async || copies("small") && copies("large")).await;
        walled.source.remove_object(SOURCE, "small");
        let deleted = fixture.run(&["scan", "--deletes", "--json"]);
        assert!(String::from_utf8_lossy(&deleted.stdout).contains("\"sent\":1"), "{deleted:?}");
        eventually("a deletion", async || !copies("small")).await;
        fixture.cloud.send_message(LIST, "not a job").await.expect("sent");
        let dead = format!("{LIST}-dead");
        eventually("a parked message", async || {
            fixture.cloud.depth(&dead).await.expect("a depth").iter().sum::<u64>() == 1
        })
        .await;
        agent.stop().await;
        let verified = fixture.run(&["verify", "--head"]);
        assert_eq!(verified.status.code(), Some(0), "{}", errors(&verified));
        let cleaned = fixture.run(&["clean", "--dry-run"]);
        assert_eq!(cleaned.status.code(), Some(0), "{}", errors(&cleaned));
        for request in only_for_check {
            walled.front.allow(request);
        }
        let (_, output) = walled.checked();
        assert!(!output.to_lowercase().contains("denied"), "{output}");
    }
}
