//! An agent that is told to stop in the middle of a large object: out in time, nothing lost, and the next one goes on at
//! the next part.

use std::time::{Duration, Instant};

use sandbox::{Fault, Operation, Rule};
use skyferry_agent::notice::{Reason, Shutdown};
use skyferry_agent::wiring::Until;

use crate::running::{SINK, Stage, created, finish};

const PART: usize = 5 << 20;
const PARTS: usize = 6;

#[tokio::test]
async fn a_stopped_agent_is_out_in_time_and_its_successor_goes_on_at_the_next_part() {
    let stage = Stage::with("[transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"").await;
    let body: Vec<u8> = (0..PART * PARTS).map(|n| (n / 7 % 251) as u8).collect();
    stage.put("k", &body);
    let last = Rule::on(Operation::UploadPart, Fault::Stall(Duration::from_secs(60))).part(PARTS as u32);
    stage.gcs.faults().add(last.always());

    let agent = stage.agent().await;
    let queue = agent.queue().clone();
    queue.send(&[created("k")]).await.expect("sent");
    let shutdown = Shutdown::default();
    let stop = async {
        let held = || stage.gcs.open_uploads(SINK).iter().map(|upload| upload.parts.len()).sum::<usize>();
        while held() < PARTS - 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        shutdown.request(Reason::Terminate);
        Instant::now()
    };
    let (report, stopped) = tokio::join!(agent.run(Until::Stopped, shutdown.clone()), stop);
    assert!(stopped.elapsed() < Duration::from_secs(25), "{:?}", stopped.elapsed());
    assert_eq!(report.expect("a run").drained.aborted, 0);
    assert_eq!(queue.depth().await.expect("asked").visible, 1, "the message is given back at once");
    drop(queue);

    stage.gcs.faults().clear();
    let before = stage.gcs.counts().of(Operation::UploadPart);
    let summary = finish(stage.agent().await).await;
    assert_eq!((summary.copied, summary.parked), (1, 0));
    assert_eq!(stage.gcs.counts().of(Operation::UploadPart) - before, 1, "one part was not there yet");
    assert_eq!(stage.gcs.counts().of(Operation::CreateUpload), 1, "and the upload was there");
    assert!(stage.copy("k") == Some(body));
    assert!(stage.gcs.open_uploads(SINK).is_empty());
}
