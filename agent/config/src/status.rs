//! `[status]`: where the agent's page listens, and whether it publishes the queues' backlog for an autoscaler.

use std::net::SocketAddr;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::reader::SettingsReader;
use super::settings::{BacklogSettings, LedgerSettings};
use super::{raw, units};

/// The metric that `deploy-gce` scales by.
const METRIC: &str = "custom.googleapis.com/skyferry/backlog";
const MONITORING: &str = "https://monitoring.googleapis.com";
/// Cloud Monitoring takes a point of one series every five seconds at most, and a period is not kept to the millisecond;
/// the autoscaler reads one a minute.
const PERIOD: Duration = Duration::from_secs(60);
const LEAST: Duration = Duration::from_secs(6);

pub(super) fn listen(r: &mut SettingsReader, text: raw::RawValue) -> Option<SocketAddr> {
    r.value("status.listen", text, Some(([127, 0, 0, 1], 9180).into()), |text| match text {
        "off" => Ok(None),
        text => text.parse().map(Some).map_err(|_| "an address and port like \"127.0.0.1:9180\", or \"off\"".into()),
    })
}

pub(super) fn backlog(
    r: &mut SettingsReader,
    raw: raw::Status,
    ledger: &Option<LedgerSettings>,
) -> Option<BacklogSettings> {
    let allow_http = r.flag("status.allow_http", raw.allow_http, false);
    let endpoint = r.endpoint("status.endpoint", raw.endpoint, allow_http, None);
    let period = r.value("status.backlog_period", raw.backlog_period, PERIOD, |text| match units::duration(text)? {
        period if period >= LEAST => Ok(period),
        _ => Err("at least 6s".into()),
    });
    let metric = r.value("status.backlog_metric", raw.backlog_metric, None, |text| match text {
        "false" => Ok(None),
        "true" => Ok(Some(METRIC.to_owned())),
        name if named(name) => Ok(Some(name.to_owned())),
        _ => Err(format!("true, false or the type of a metric like {METRIC:?}")),
    })?;
    if let Some(LedgerSettings::None) = ledger {
        let why = "needs a ledger, by which the agents settle who publishes: let kind of [ledger] be dynamodb";
        r.invalid("status.backlog_metric", why.into());
    }
    let endpoint = endpoint.or_else(|| Endpoint::parse(MONITORING, false).ok())?;
    Some(BacklogSettings { metric, period, endpoint })
}

fn named(metric: &str) -> bool {
    let path = metric.strip_prefix("custom.googleapis.com/");
    path.is_some_and(|path| !path.is_empty() && path.chars().all(|c| c.is_ascii_alphanumeric() || "_/.".contains(c)))
}
