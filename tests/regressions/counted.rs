//! The lines that the predecessors' metric filters count, read as CloudWatch reads them: by fields between blanks.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use skyferry_agent::legacy_log;
use tracing_subscriber::layer::SubscriberExt;

use crate::running::{Fixture, SINK, SOURCE, created};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `[date, time, info, hs, p=…, bytes, …]`: bytes and what stands before ` - ` of every line whose fifth field is this.
fn counted(log: &str, p: &str) -> Vec<(u64, String)> {
    let fields = log.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let counted = fields.filter(|fields| fields.get(4) == Some(&p));
    counted.map(|fields| (fields[5].parse().expect("bytes"), fields[7].to_owned())).collect()
}

#[tokio::test]
async fn regression_13_small_files_are_counted_as_complete() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::registry().with(legacy_log::lines(move || writer.clone()));
    let _here = tracing::subscriber::set_default(subscriber);
    let fixture = Fixture::with("[transfer]\nmultipart_threshold = \"8MiB\"\npart_size = \"5MiB\"").await;
    let large = 12_000_000;
    fixture.put("small", b"hello");
    fixture.put("empty", b"");
    fixture.put("large", &vec![7; large]);
    let summary = fixture.drain(&["small", "empty", "large"].map(created)).await;
    assert_eq!((summary.copied, summary.parked), (3, 0));

    let log = String::from_utf8(lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).expect("text");
    for (p, bucket) in [("--->Downloading", SOURCE), ("--->Uploading", SINK), ("--->Complete", SOURCE)] {
        let lines = counted(&log, p);
        let of = |key: &str| -> Vec<u64> {
            lines.iter().filter(|(_, at)| *at == format!("{bucket}/{key}")).map(|(bytes, _)| *bytes).collect()
        };
        assert_eq!((of("small"), of("empty")), (vec![5], vec![0]), "{p}: {log}");
        assert_eq!((of("large").len(), of("large").iter().sum::<u64>()), (3, large as u64), "{p}: {log}");
    }
    assert!(log.contains(&format!("--->Complete 5 Bytes {SOURCE}/small - 1/1 100.00%")), "{log}");
}
