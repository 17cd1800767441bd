//! `[status] backlog_metric` and what belongs to it.

use super::*;

fn backlog(more: &str) -> Option<BacklogSettings> {
    read(&format!("{}[status]\n{more}\n", minimal())).backlog
}

#[test]
fn it_is_published_only_where_the_settings_say_so() {
    assert_eq!(backlog(""), None);
    assert_eq!(backlog("backlog_metric = false"), None);
    let on = backlog("backlog_metric = true").expect("published");
    assert_eq!((on.metric.as_str(), on.period), ("custom.googleapis.com/skyferry/backlog", Duration::from_secs(60)));
    assert_eq!(on.endpoint.as_str(), "https://monitoring.googleapis.com");
    let named =
        "backlog_metric = \"custom.googleapis.com/mine\"\nbacklog_period = \"30s\"\nendpoint = \"http://127.0.0.1:9\"";
    let named = backlog(named).expect("published");
    assert_eq!((named.metric.as_str(), named.period.as_secs()), ("custom.googleapis.com/mine", 30));
    let settings = read(&format!("{}[status]\nbacklog_metric = true\n", minimal()));
    assert_eq!(reread(&settings), settings);
}

#[test]
fn what_cannot_be_published_is_refused() {
    for (wrong, expected) in [
        ("backlog_metric = \"compute.googleapis.com/x\"", "custom.googleapis.com"),
        ("backlog_metric = \"custom.googleapis.com/\"", "custom.googleapis.com"),
        ("backlog_metric = true\nbacklog_period = \"5s\"", "at least 6s"),
        ("backlog_metric = true\nendpoint = \"http://example.com\"", "status.endpoint"),
        ("backlog_metric = true\n[ledger]\nkind = \"none\"", "dynamodb"),
    ] {
        let reported = problems(&format!("{}[status]\n{wrong}\n", minimal()), &[]);
        assert!(reported.contains(expected), "{wrong}: {reported}");
    }
}
