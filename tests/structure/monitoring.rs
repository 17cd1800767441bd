//! The dashboard and the alerts that are shipped: what they ask for is exported, and Kubernetes gets the same alerts.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{none, root};

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The names of metrics in a text.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
    words.filter(|word| word.starts_with("skyferry_") || word.starts_with("process_")).collect()
}

/// Every expression of a dashboard, those of its variables too.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| match value.as_str() {
            Some(text) if name == "expr" || name == "query" => found.push(text.to_owned()),
            _ => expressions(value, found),
        }),
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_and_the_alerts_ask_only_for_what_is_exported() {
    let (families, rules) = (read("agent/core/src/metrics/families.rs"), read("deploy-monitoring/rules.yaml"));
    let dashboard: Value = serde_json::from_str(&read("deploy-monitoring/dashboard.json")).expect("JSON");
    let mut asked = vec![rules.split_once("groups:").expect("groups").1.to_owned()];
    expressions(&dashboard, &mut asked);
    assert!(asked.len() > 30, "only {} expressions", asked.len());
    let exported = metrics(&families);
    let unknown = asked.iter().flat_map(|text| metrics(text)).filter(|name| {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        !exported.contains(family)
    });
    none("metrics that no agent exports", &unknown.map(Into::into).collect::<Vec<_>>());
}

#[test]
fn the_alerts_of_prometheus_operator_are_those_of_prometheus() {
    let rules = read("deploy-monitoring/rules.yaml");
    let groups = rules.split_once("groups:").expect("groups").1;
    let indented: String = format!("groups:{groups}").lines().map(|line| format!("  {line}\n")).collect();
    let expected = format!(
        "# For Prometheus' operator: made of deploy-monitoring/rules.yaml by tests/structure/monitoring.rs (SKYFERRY_WRITE=1).\n\
         apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: skyferry\n  \
         labels: {{app.kubernetes.io/name: skyferry}}\nspec:\n{indented}"
    );
    let file = "deploy-k8s/base/alerts.yaml";
    if std::env::var_os("SKYFERRY_WRITE").is_some() {
        std::fs::write(root().join(file), &expected).expect("written");
    }
    assert!(read(file) == expected, "{file} is not what rules.yaml makes of it: SKYFERRY_WRITE=1 writes it");
}
