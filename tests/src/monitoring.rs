//! Google's Cloud Monitoring on loopback, as its REST interface answers `timeSeries.create`: the shape of every series is
//! checked, and what the service itself refuses is refused: points out of order, points too close, values of another type
//! than the metric's. Takes the Bearer tokens of its metadata servers and no others.

use std::{
    collections::BTreeMap,
    io,
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    gce::GcePeer,
    google_tokens::GoogleTokens,
    http_peer::{HttpPeer, PeerHandler, PeerReply, PeerRequest, lock},
};

/// Of one series.
const CLOSEST: Duration = Duration::from_secs(5);
/// In one request.
const MOST: usize = 200;
/// Resource types that user-defined metrics are written with, and the labels that each of them has, no more and no less.
const RESOURCES: [(&str, &[&str]); 3] = [
    ("generic_task", &["project_id", "location", "namespace", "job", "task_id"]),
    ("generic_node", &["project_id", "location", "namespace", "node_id"]),
    ("global", &["project_id"]),
];

/// A point that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct PointTaken {
    pub metric: String,
    pub resource: String,
    pub labels: BTreeMap<String, String>,
    pub value: i64,
    /// Which of the metadata servers issued the token that it came with.
    pub writer: usize,
}

#[derive(Debug, Default)]
struct Book {
    taken: Vec<PointTaken>,
    /// By metric and resource.
    newest: BTreeMap<String, Timestamp>,
    denied: bool,
}

#[derive(Debug)]
struct Keeper {
    mints: Vec<GoogleTokens>,
    book: Mutex<Book>,
}

/// A running Cloud Monitoring. What it was asked and its faults are on [`HttpPeer`].
#[derive(Debug)]
pub struct MonitoringPeer {
    peer: HttpPeer,
    keeper: Arc<Keeper>,
}

impl MonitoringPeer {
    /// Starts on a free port of 127.0.0.1, for machines with these metadata servers. Must be called within a tokio runtime.
    pub fn start(machines: &[&GcePeer]) -> io::Result<MonitoringPeer> {
        let mints = machines.iter().map(|machine| machine.mint()).collect();
        let keeper = Arc::new(Keeper { mints, book: Mutex::default() });
        Ok(MonitoringPeer { peer: HttpPeer::start(Arc::clone(&keeper))?, keeper })
    }

    /// In the order in which they came.
    pub fn points(&self) -> Vec<PointTaken> {
        lock(&self.keeper.book).taken.clone()
    }

    /// Whether nobody has `monitoring.timeSeries.create`.
    pub fn deny(&self, denied: bool) {
        lock(&self.keeper.book).denied = denied;
    }
}

impl Deref for MonitoringPeer {
    type Target = HttpPeer;

    fn deref(&self) -> &HttpPeer {
        &self.peer
    }
}

fn refused(code: u16, status: &str, message: impl Into<String>) -> PeerReply {
    PeerReply::json(code, &json!({"error": {"code": code, "message": message.into(), "status": status}}))
}

fn invalid(message: impl Into<String>) -> PeerReply {
    refused(400, "INVALID_ARGUMENT", message)
}

impl PeerHandler for Keeper {
    async fn answer(self: Arc<Self>, asked: PeerRequest) -> PeerReply {
        let token = asked.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let Some(writer) = self.mints.iter().position(|mint| mint.accepts(token)) else {
            return refused(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.");
        };
        let project = asked.path.strip_prefix("/v3/projects/").and_then(|path| path.strip_suffix("/timeSeries"));
        let Some(project) = project.filter(|_| asked.method == http::Method::POST) else {
            return refused(404, "NOT_FOUND", "Method not found.");
        };
        let mut book = lock(&self.book);
        if project != GcePeer::PROJECT || book.denied {
            let message = "Permission monitoring.timeSeries.create denied (or the resource may not exist).";
            return refused(403, "PERMISSION_DENIED", message);
        }
        if !asked.header("content-type").starts_with("application/json") {
            return invalid("Invalid JSON payload received.");
        }
        match book.take(&asked.body, writer) {
            Ok(()) => PeerReply::json(200, &json!({})),
            Err(reported) => reported,
        }
    }
}

impl Book {
    /// All or none, where the service would take some.
    fn take(&mut self, body: &str, writer: usize) -> Result<(), PeerReply> {
        let body: Value = serde_json::from_str(body).map_err(|_| invalid("Invalid JSON payload received."))?;
        let object = only(&body, &["timeSeries"])?;
        let series = object["timeSeries"].as_array().ok_or_else(|| invalid("timeSeries"))?;
        if series.is_empty() || series.len() > MOST {
            return Err(invalid(format!("Field timeSeries had {} objects, 1 to {MOST} are taken.", series.len())));
        }
        let mut newest = self.newest.clone();
        let mut taken = Vec::new();
        for one in series {
            let (point, at) = read(one, writer)?;
            let name = format!("{} {} {:?}", point.metric, point.resource, point.labels);
            if let Some(before) = newest.insert(name, at) {
                let since = at.duration_since(before);
                if since.is_zero() || since.is_negative() {
                    return Err(invalid("Points must be written in order."));
                }
                if since.unsigned_abs() < CLOSEST {
                    return Err(invalid(
                        "One or more points were written more frequently than the maximum sampling period configured for the metric.",
                    ));
                }
            }
            taken.push(point);
        }
        self.newest = newest;
        self.taken.extend(taken);
        Ok(())
    }
}

/// An object with these names and no others.
fn only<'a>(value: &'a Value, names: &[&str]) -> Result<&'a Map<String, Value>, PeerReply> {
    let object = value.as_object().ok_or_else(|| invalid(format!("{value} is no object")))?;
    match object.keys().find(|name| !names.contains(&name.as_str())) {
        Some(unknown) => Err(invalid(format!("Unknown name \"{unknown}\": Cannot find field."))),
        None => Ok(object),
    }
}

/// One series with its one point.
fn read(series: &Value, writer: usize) -> Result<(PointTaken, Timestamp), PeerReply> {
    only(series, &["metric", "resource", "metricKind", "valueType", "points"])?;
    only(&series["metric"], &["type", "labels"])?;
    only(&series["resource"], &["type", "labels"])?;
    let metric = series["metric"]["type"].as_str().unwrap_or_default();
    if !metric.starts_with("custom.googleapis.com/") {
        return Err(invalid(format!("Field timeSeries[0].metric.type had an invalid value of \"{metric}\"")));
    }
    let resource = series["resource"]["type"].as_str().unwrap_or_default();
    let Some((_, wanted)) = RESOURCES.iter().find(|(name, _)| *name == resource) else {
        return Err(invalid(format!("Unrecognized monitored resource \"{resource}\"")));
    };
    let labels: BTreeMap<String, String> =
        serde_json::from_value(series["resource"]["labels"].clone()).map_err(|_| invalid("resource.labels"))?;
    if labels.len() != wanted.len() || wanted.iter().any(|name| labels.get(*name).is_none_or(String::is_empty)) {
        return Err(invalid(format!("the labels of {resource} are {wanted:?}")));
    }
    if labels["project_id"] != GcePeer::PROJECT {
        return Err(invalid("the series is another project's"));
    }
    if series["metricKind"] != "GAUGE" || series["valueType"] != "INT64" {
        return Err(invalid("the metric is a gauge of whole numbers"));
    }
    let Some([point]) = series["points"].as_array().map(Vec::as_slice) else {
        return Err(invalid("Field timeSeries[0].points had an invalid value: exactly one point is taken."));
    };
    only(point, &["interval", "value"])?;
    only(&point["value"], &["int64Value"])?;
    // No start: a gauge is of a moment.
    only(&point["interval"], &["endTime"])?;
    let at: Timestamp =
        point["interval"]["endTime"].as_str().unwrap_or_default().parse().map_err(|_| invalid("endTime"))?;
    let age = Timestamp::now().duration_since(at).as_secs();
    if !(-300..90_000).contains(&age) {
        return Err(invalid("the point's end is more than five minutes ahead or 25 hours ago"));
    }
    let value = point["value"]["int64Value"].as_str().and_then(|text| text.parse().ok());
    let value = value.ok_or_else(|| invalid("int64Value is a whole number as a text"))?;
    Ok((PointTaken { metric: metric.into(), resource: resource.into(), labels, value, writer }, at))
}
