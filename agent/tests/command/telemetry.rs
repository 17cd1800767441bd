//! What a receiver of OTLP gets of an agent, decoded as the protocol defines it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::{between_directories, listening, post};

/// Path and body of each request.
type Taken = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Takes every request.
struct Receiver {
    address: String,
    taken: Taken,
}

impl Receiver {
    fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (address, taken) = (listener.local_addr().expect("an address").to_string(), Taken::default());
        let into = taken.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, into) = (BufReader::new(stream.expect("a connection")), into.clone());
                std::thread::spawn(move || {
                    while let Some(request) = take(&mut stream) {
                        into.lock().expect("no panic").push(request);
                        let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                    }
                });
            }
        });
        Receiver { address, taken }
    }

    fn decoded<T: Message + Default>(&self, path: &str) -> Vec<T> {
        let taken = self.taken.lock().expect("no panic");
        let of = taken.iter().filter(|(at, _)| at == path);
        of.map(|(_, body)| T::decode(&body[..]).expect("protobuf")).collect()
    }
}

/// One request of a connection.
fn take(stream: &mut BufReader<std::net::TcpStream>) -> Option<(String, Vec<u8>)> {
    let (mut path, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse().expect("a length");
        } else if line.starts_with("content-type") {
            assert_eq!(line, "content-type: application/x-protobuf");
        } else if let Some(text) = line.strip_prefix("post ") {
            path = text.split(' ').next().expect("a path").to_owned();
        } else if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((path, body))
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<&str, String> {
    let text = |value: &KeyValue| match value.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.as_str(), text(attribute))).collect()
}

#[test]
fn a_receiver_of_otlp_gets_a_trace_of_each_object_and_the_metrics() {
    let receiver = Receiver::start();
    let telemetry = format!("[telemetry]\notlp = \"http://{}\"\n[log]\nlevel = \"debug\"\n", receiver.address);
    let folder = between_directories("listen = \"127.0.0.1:0\"", &telemetry);
    std::fs::write(folder.path().join("from/photo.jpg"), "abc").expect("written");
    let (mut agent, mut log, address) = listening(folder.path());
    let event = r#"{"Records":[{"eventSource":"ceph:s3","eventVersion":"2.2","eventName":"ObjectCreated:Put",
        "s3":{"bucket":{"name":"directory"},"object":{"key":"photo.jpg","size":3}}}]}"#;
    assert!(post(&address, event).starts_with("HTTP/1.1 200"));
    let mut lines = Vec::new();
    let ended = log.by_ref().find(|line| {
        lines.push(line.clone());
        line.contains("\"ended\"")
    });
    assert!(ended.is_some(), "{lines:#?}");
    // It ends by itself, and what is left is sent: nothing else would be within a minute.
    kill(Pid::from_raw(agent.0.id() as i32), Signal::SIGTERM).expect("asked to end");
    lines.extend(log);
    assert_eq!(agent.0.wait().expect("it ends").code(), Some(143), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("skyferry_trace") || line.contains("are not taken")), "{lines:#?}");
    one_trace(&receiver.decoded("/v1/traces"));
    all_metrics(&receiver.decoded("/v1/metrics"));
}

/// One of its object, with everything below that.
fn one_trace(requests: &[ExportTraceServiceRequest]) {
    let resources = requests.iter().flat_map(|request| &request.resource_spans);
    let of = resources.clone().next().and_then(|one| one.resource.as_ref()).expect("a resource");
    assert_eq!(texts(&of.attributes)["service.name"], "skyferry-agent");
    let spans: Vec<&Span> = resources.flat_map(|one| &one.scope_spans).flat_map(|scope| &scope.spans).collect();
    let roots: Vec<&&Span> = spans.iter().filter(|span| span.parent_span_id.is_empty()).collect();
    let [object] = roots[..] else { panic!("one root: {spans:#?}") };
    let attributes = texts(&object.attributes);
    assert_eq!(object.name, "object");
    for (name, value) in
        [("source", "directory/photo.jpg"), ("destination", "b/photo.jpg"), ("outcome", "copied"), ("bytes", "3")]
    {
        assert_eq!(attributes[name], value, "{attributes:?}");
    }
    for name in ["look", "read", "write", "ledger"] {
        assert!(spans.iter().any(|span| span.name == name), "no {name}: {spans:#?}");
    }
    for span in &spans {
        assert_eq!(span.trace_id, object.trace_id);
        assert!(span.start_time_unix_nano >= object.start_time_unix_nano, "{span:#?}");
        assert!(
            (span.start_time_unix_nano..=object.end_time_unix_nano).contains(&span.end_time_unix_nano),
            "{span:#?}"
        );
    }
}

fn all_metrics(requests: &[ExportMetricsServiceRequest]) {
    let scopes = requests.iter().flat_map(|request| &request.resource_metrics).flat_map(|one| &one.scope_metrics);
    let metrics: BTreeMap<&str, &Metric> =
        scopes.flat_map(|scope| &scope.metrics).map(|metric| (metric.name.as_str(), metric)).collect();
    let Some(Data::Sum(objects)) = &metrics["skyferry_objects_total"].data else { panic!("not a sum") };
    let copied =
        objects.data_points.iter().find(|point| texts(&point.attributes)["outcome"] == "copied").expect("a point");
    assert_eq!(copied.value, Some(number_data_point::Value::AsDouble(1.0)));
    assert!(objects.is_monotonic);
    let Some(Data::Gauge(memory)) = &metrics["process_resident_memory_bytes"].data else { panic!("not a gauge") };
    assert!(matches!(memory.data_points[0].value, Some(number_data_point::Value::AsDouble(bytes)) if bytes > 1e6));
    let Some(Data::Histogram(ledger)) = &metrics["skyferry_ledger_seconds"].data else { panic!("not a histogram") };
    let finish = ledger.data_points.iter().find(|point| texts(&point.attributes)["operation"] == "finish");
    let finish = finish.expect("a point");
    assert_eq!((finish.count, finish.explicit_bounds.len()), (1, finish.bucket_counts.len() - 1));
    assert!(finish.sum.is_some_and(|sum| sum > 0.0 && sum < Duration::from_secs(60).as_secs_f64()));
}
