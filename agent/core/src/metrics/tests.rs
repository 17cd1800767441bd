use std::collections::HashSet;
use std::time::SystemTime;

use proptest::prelude::*;

use super::*;

/// One series of every family.
fn all_kinds() -> Metrics {
    let metrics = Metrics::default();
    metrics.observe_message_age(Duration::from_millis(2500));
    metrics.count_parked("archived");
    metrics.count_on_route("a \"queue\"\\", "photos/\n2024/", Outcome::Copied);
    metrics.requests_to(Side::Source).start("GetObject").end(Some(206));
    for gauge in [&metrics.queue_visible, &metrics.queue_in_flight, &metrics.queue_retention, &metrics.dead_letters] {
        gauge.set("events", 3);
    }
    metrics.credentials_expiry.set("source", 1_800_000_000);
    let usage = ProcessUsage { cpu_seconds: 1.25, resident_bytes: 1 << 20, open_fds: 9, max_fds: 1024, started: 1.8e9 };
    metrics.show_process(usage);
    drop(metrics.hold_message("events", SystemTime::now()));
    let waited = metrics.queue_operations.measure("receive", async { Ok::<(), ()>(()) });
    futures_util::FutureExt::now_or_never(waited).expect("at once").expect("fine");
    let waited = metrics.ledger_operations.measure("begin", async { Err::<(), ()>(()) });
    futures_util::FutureExt::now_or_never(waited).expect("at once").expect_err("refused");
    metrics
}

#[test]
fn old_names_have_their_series_from_the_start() {
    let page = Metrics::default().render(MetricsFormat::Prometheus);
    for name in [
        "skyferry_build_info gauge",
        "skyferry_objects_total counter",
        "skyferry_bytes_total counter",
        "skyferry_retries_total counter",
        "skyferry_inflight_objects gauge",
        "skyferry_inflight_bytes gauge",
        "skyferry_message_age_seconds histogram",
        "skyferry_objects_limit gauge",
        "skyferry_requests_limit gauge",
    ] {
        assert_eq!(page.matches(&format!("# TYPE {name}\n")).count(), 1, "{name}");
    }
    for outcome in ["copied", "deleted", "gone", "unchanged", "skipped", "parked"] {
        assert!(page.contains(&format!("skyferry_objects_total{{outcome=\"{outcome}\"}} 0\n")));
    }
    for side in ["source", "destination"] {
        for name in ["skyferry_checksum_failures_total", "skyferry_outage", "skyferry_requests_limit"] {
            assert!(page.contains(&format!("{name}{{side=\"{side}\"}} 0\n")), "{name} of {side} in {page}");
        }
    }
}

#[test]
fn every_line_is_prometheus_text_and_no_series_comes_twice() {
    let page = all_kinds().render(MetricsFormat::Prometheus);
    let mut seen = HashSet::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok() && seen.insert(series), "{line}");
    }
    for expected in [
        "skyferry_message_age_seconds_bucket{le=\"2\"} 0\n",
        "skyferry_message_age_seconds_bucket{le=\"5\"} 1\n",
        "skyferry_message_age_seconds_bucket{le=\"+Inf\"} 1\n",
        "skyferry_message_age_seconds_sum 2.5\n",
        "skyferry_requests_total{side=\"source\",verb=\"GetObject\",status=\"2xx\"} 1\n",
        "skyferry_queue_seconds_count{operation=\"receive\",result=\"ok\"} 1\n",
        "skyferry_ledger_seconds_count{operation=\"begin\",result=\"error\"} 1\n",
        "skyferry_route_objects_total{queue=\"a \\\"queue\\\"\\\\\",route=\"photos/\\n2024/\",outcome=\"copied\"} 1\n",
        "process_cpu_seconds_total 1.25\n",
    ] {
        assert!(page.contains(expected), "{expected} in {page}");
    }
}

/// The names in the file of families and those on both pages, each with its kind.
#[test]
fn both_formats_show_the_same_families_and_series() {
    let metrics = all_kinds();
    let series = |page: &str| -> HashSet<String> {
        // Bounds are written in two ways: `le="1"` and `le="1.0"`.
        let lines = page.lines().filter(|line| !line.starts_with('#') && !line.contains("le=\""));
        lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    let (old, new) = (metrics.render(MetricsFormat::Prometheus), metrics.render(MetricsFormat::OpenMetrics));
    assert_eq!(series(&old), series(&new));
    assert_eq!(old.matches("le=\"").count(), new.matches("le=\"").count());
    assert!(new.ends_with("# EOF\n") && new.contains("# TYPE skyferry_objects counter\n"));
    let named = |text: &str| -> HashSet<String> {
        let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
        words.filter(|word| word.starts_with("skyferry_") || word.starts_with("process_")).map(Into::into).collect()
    };
    let shown = |text: &str| -> HashSet<String> {
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(Into::into)).collect()
    };
    let code = include_str!("families.rs").split("//!").last().unwrap_or_default();
    assert_eq!(named(code), shown(&old));
}

#[test]
fn names_and_places_agree() {
    for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
        assert_eq!((outcome as usize, Outcome::parse(outcome.name())), (place, Some(outcome)));
    }
    for (place, cause) in RetryCause::ALL.into_iter().enumerate() {
        assert_eq!(cause as usize, place);
    }
}

#[test]
fn names_beyond_the_cap_are_added_up_under_one_label() {
    let metrics = Metrics::default();
    for number in 0..NAMES + 8 {
        metrics.queue_visible.set(&format!("queue-{number:03}"), 1);
        metrics.count_on_route("events", &format!("bucket-{number}/"), Outcome::Copied);
    }
    let page = metrics.render(MetricsFormat::Prometheus);
    assert!(page.contains("skyferry_queue_visible{queue=\"other\"} 8\n"), "{page}");
    assert!(page.contains("skyferry_route_objects_total{queue=\"other\",route=\"other\",outcome=\"copied\"} 8\n"));
    assert_eq!(page.matches("skyferry_queue_visible{").count(), NAMES + 1);
    assert_eq!(metrics.queue_visible.get(), NAMES as u64 + 8);
}

#[test]
fn the_oldest_message_counts_while_it_is_worked_on_and_when_it_is_given_back() {
    let metrics = Metrics::default();
    let sent = |seconds| SystemTime::now() - Duration::from_secs(seconds);
    let oldest = || {
        let page = metrics.render(MetricsFormat::Prometheus);
        let line = page.lines().find(|line| line.starts_with("skyferry_oldest_message_age_seconds{")).unwrap();
        line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap() / 100
    };
    let at = sent(1_010);
    let mut old = metrics.hold_message("events", at);
    let young = metrics.hold_message("events", sent(210));
    assert_eq!((oldest(), metrics.inflight_objects.get()), (10, 2));
    old.failed();
    drop(old);
    assert_eq!(oldest(), 10);
    drop(metrics.hold_message("events", sent(2_010)));
    drop(young);
    assert_eq!((oldest(), metrics.inflight_objects.get()), (10, 0));
    drop(metrics.hold_message("events", at));
    assert_eq!(oldest(), 0);
}

#[test]
fn the_lag_is_that_of_the_last_record_and_what_was_parked_is_counted_by_why() {
    let metrics = Metrics::default();
    assert_eq!(metrics.lag(), None);
    [7, 0].into_iter().for_each(|seconds| metrics.observe_message_age(Duration::from_secs(seconds)));
    assert_eq!(metrics.lag(), Some(Duration::ZERO));
    ["archived", "no route", "archived"].into_iter().for_each(|why| metrics.count_parked(why));
    assert_eq!(metrics.parked_by_reason(), BTreeMap::from([("archived", 2), ("no route", 1)]));
    assert_eq!(metrics.summary().parked, 3);
}

#[test]
fn what_is_held_is_given_back() {
    let gauge = Gauge::default();
    let held = (gauge.hold(3), gauge.hold(4));
    assert_eq!(gauge.get(), 7);
    drop(held);
    assert_eq!(gauge.get(), 0);
}

#[test]
fn the_summary_line_has_the_names_that_scripts_read() {
    let metrics = Metrics::default();
    metrics.count_outcome(Outcome::Copied);
    metrics.count_bytes(42);
    metrics.count_retry(RetryCause::Stalled);
    assert_eq!(
        metrics.summary().to_json(Duration::from_millis(1234)),
        r#"{"copied":1,"deleted":0,"gone":0,"unchanged":0,"skipped":0,"parked":0,"bytes":42,"retries":1,"seconds":1.234}"#
    );
}

proptest! {
    #[test]
    fn every_age_is_counted_once(ages in proptest::collection::vec(any::<Duration>(), 0..50)) {
        let metrics = Metrics::default();
        ages.iter().for_each(|age| metrics.observe_message_age(*age));
        let count = format!("skyferry_message_age_seconds_count {}\n", ages.len());
        prop_assert!(metrics.render(MetricsFormat::Prometheus).contains(&count));
    }
}
