//! Records of a table that several destinations of one source shared, as earlier versions wrote them.

use serde_json::{Value, json};
use skyferry_aws::dynamodb::DynamoLedger;
use skyferry_core::ledger::{BeginResult, Ledger, LedgerError, Leftover, Subject, WriterEnd};
use skyferry_core::metrics::Outcome;
use skyferry_core::model::{Location, Writer};

use crate::dynamodb::{begin, copied, ledger, published, row, stack, subject, upload};

/// The second destination of `subject(key)`.
fn second(key: &str) -> Subject {
    Subject { destination: Location::new("other", key), primary: false, ..subject(key) }
}

/// As an earlier version began, checkpointed and finished it: in the record that all destinations shared.
fn as_before(of: &Subject) -> Subject {
    Subject { primary: true, ..of.clone() }
}

fn own_key(key: &str) -> String {
    let source = format!("photos/{key}");
    format!("/{}/{source} -> other/{key}", source.len())
}

async fn ended(ledger: &DynamoLedger, on: &Subject, writer: Writer) {
    ledger.finish(on, writer, &copied(), Leftover::Nothing, &[]).await.expect("finished");
}

#[tokio::test]
async fn fault_b1_an_upload_of_a_second_destination_moves_to_its_own_record_on_ministack() {
    let stack = stack().await;
    let (ledger, on) = (ledger(&stack).await, second("k"));
    let (old, _) = begin(&ledger, &as_before(&on)).await;
    let theirs = upload("theirs", 3);
    ledger.checkpoint(&as_before(&on), old, Some(&theirs)).await.expect("recorded");
    // The first destination, by another agent, in the same record.
    let (first, begun) = begin(&ledger, &subject("k")).await;
    assert_eq!(begun.earlier.iter().map(|earlier| earlier.writer).collect::<Vec<_>>(), [old]);
    ledger.checkpoint(&subject("k"), first, Some(&upload("first", 1))).await.expect("recorded");

    let (writer, begun) = begin(&ledger, &on).await;
    assert!(begun.known);
    let [earlier] = &begun.earlier[..] else { panic!("{begun:?}") };
    assert_eq!((earlier.writer, earlier.upload.as_ref().map(|upload| &upload.id)), (old, Some(&theirs.id)));
    let late = ledger.checkpoint(&as_before(&on), old, Some(&theirs)).await;
    assert!(matches!(late, Err(LedgerError::Fenced)), "{late:?}");
    ledger.checkpoint(&subject("k"), first, Some(&upload("first", 2))).await.expect("the first goes on");
    ledger.checkpoint(&on, writer, Some(&theirs)).await.expect("and so does the second");
    ended(&ledger, &subject("k"), first).await;
    ledger.finish(&on, writer, &copied(), Leftover::Nothing, &[old]).await.expect("finished");
    for on in [&subject("k"), &on] {
        let (_, begun) = begin(&ledger, on).await;
        let ended_for = begun.ended_for;
        assert!(ended_for.is_some(), "{begun:?}");
        assert_eq!(
            begun,
            BeginResult { known: true, published: Some(published()), ended_for, ..BeginResult::default() }
        );
    }
}

#[tokio::test]
async fn fault_b1_a_shared_record_that_names_the_second_destination_is_the_firsts_afterwards_on_ministack() {
    let stack = stack().await;
    let (ledger, on) = (ledger(&stack).await, second("k"));
    let (old, _) = begin(&ledger, &as_before(&on)).await;
    ledger
        .finish(&as_before(&on), old, &WriterEnd::Released { counted: true }, Leftover::Nothing, &[])
        .await
        .expect("released");
    let (old, _) = begin(&ledger, &as_before(&on)).await;
    ended(&ledger, &as_before(&on), old).await;
    let seen = ledger.lookup(&on).await.expect("looked up").expect("told by the shared record");
    assert_eq!((seen.outcome, seen.published), (Some(Outcome::Copied), Some(published())));
    let both = ledger.lookup_all(&[subject("k"), on.clone()]).await.expect("looked up");
    let outcomes: Vec<_> = both.iter().map(|record| record.as_ref().and_then(|record| record.outcome)).collect();
    assert_eq!(outcomes, [None, Some(Outcome::Copied)]);

    let (writer, begun) = begin(&ledger, &on).await;
    assert_eq!(begun, BeginResult { known: true, published: Some(published()), ..BeginResult::default() });
    assert!(row(&stack, "k").await["sfPublished"].is_null() && row(&stack, "k").await["sfOutcome"].is_null());
    ended(&ledger, &on, writer).await;
    let (first, begun) = begin(&ledger, &subject("k")).await;
    assert_eq!(begun, BeginResult { known: true, ..BeginResult::default() }, "nothing of its own");
    ended(&ledger, &subject("k"), first).await;
    let named = |row: &Value| (row["desBucket"]["S"].clone(), row["desKey"]["S"].clone());
    assert_eq!(named(&row(&stack, "k").await), (json!("copies"), json!("k")));
    let own = stack.item("list", &own_key("k")).await.expect("asked").expect("a row");
    assert_eq!(named(&own), (json!("other"), json!("k")));
}

/// A record that a refused message rewrote, as earlier versions did, with the source as its destination.
#[tokio::test]
async fn fault_c10_a_record_that_names_its_source_is_mended_by_the_next_copy_on_ministack() {
    let stack = stack().await;
    let (ledger, on) = (ledger(&stack).await, subject("k"));
    let (writer, _) = begin(&ledger, &on).await;
    ended(&ledger, &on, writer).await;
    let wrong = Subject { destination: on.source.clone(), ..on.clone() };
    for _ in 0..3 {
        let (writer, _) = begin(&ledger, &wrong).await;
        let released = WriterEnd::Released { counted: true };
        ledger.finish(&wrong, writer, &released, Leftover::Nothing, &[]).await.expect("released");
    }
    let (writer, _) = begin(&ledger, &wrong).await;
    let parked = WriterEnd::Parked { reason: "no route".into() };
    ledger.finish(&wrong, writer, &parked, Leftover::Nothing, &[]).await.expect("parked");
    assert_eq!(ledger.lookup(&on).await.expect("looked up").expect("there").outcome, None);
    let (writer, begun) = begin(&ledger, &on).await;
    assert_eq!((begun.failures, begun.published), (0, Some(published())));
    ended(&ledger, &on, writer).await;
    let row = row(&stack, "k").await;
    assert_eq!((&row["desBucket"]["S"], &row["sfFailures"]), (&json!("copies"), &Value::Null));
}
