//! `[telemetry] otlp`: one trace an object, and the metrics each minute, to whatever takes OTLP over HTTP. The SDK batches,
//! encodes and tries again; here is what it lacks: a client on this runtime, and the way from our metrics to its instruments.
//!
//! Headers for the receiver come from the standard `OTEL_EXPORTER_OTLP_HEADERS`, so that no token is in the settings.

mod client;
mod instruments;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::spans;
use client::OtlpClient;
use instruments::Instruments;
use skyferry_core::metrics::Metrics;
use skyferry_core::{ambient, version};

const NAME: &str = "skyferry-agent";
/// Between two exports of the metrics.
const EVERY: Duration = Duration::from_secs(60);
/// For one request.
const PATIENCE: Duration = Duration::from_secs(10);
/// For what is left when the agent ends.
const LAST: Duration = Duration::from_secs(3);
/// Spans that wait for their export; a receiver that is away loses those beyond.
const SPANS: usize = 16_384;
const BATCH: usize = 2_048;
/// The reader exports when it is asked to.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What sends traces and metrics.
pub struct Telemetry {
    traces: SdkTracerProvider,
    meters: SdkMeterProvider,
    runtime: Handle,
}

impl Telemetry {
    /// `endpoint` has no path. Requests run on `runtime`; nothing is sent yet.
    pub fn start(endpoint: &str, runtime: &Handle) -> Result<Telemetry, String> {
        let client = Arc::new(OtlpClient::new(endpoint, runtime, PATIENCE)?);
        let endpoint = endpoint.trim_end_matches('/');
        let resource = Resource::builder()
            .with_service_name(NAME)
            .with_attribute(KeyValue::new("service.version", version::VERSION))
            .with_attribute(KeyValue::new("service.instance.id", format!("{:016x}", ambient::random::<u64>())))
            .build();
        let spans = SpanExporter::builder().with_http().with_shared_http_client(client.clone());
        let spans = spans.with_endpoint(format!("{endpoint}/v1/traces")).with_protocol(Protocol::HttpBinary);
        let spans = spans.with_timeout(PATIENCE).build().map_err(|error| error.to_string())?;
        let batches = BatchConfigBuilder::default().with_max_queue_size(SPANS).with_max_export_batch_size(BATCH);
        let batches = BatchSpanProcessor::builder(spans).with_batch_config(batches.build()).build();
        let traces = SdkTracerProvider::builder().with_resource(resource.clone()).with_span_processor(batches).build();
        let points = MetricExporter::builder().with_http().with_shared_http_client(client);
        let points = points.with_endpoint(format!("{endpoint}/v1/metrics")).with_protocol(Protocol::HttpBinary);
        let points = points.with_timeout(PATIENCE).build().map_err(|error| error.to_string())?;
        let reader = PeriodicReader::builder(points).with_interval(NEVER).build();
        let meters = SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build();
        Ok(Telemetry { traces, meters, runtime: runtime.clone() })
    }

    /// Makes the spans of objects into traces, and nothing else.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let layer = tracing_opentelemetry::layer().with_tracer(self.traces.tracer(NAME));
        let layer = layer.with_location(false).with_threads(false).with_target(false).with_level(false);
        layer.with_tracked_inactivity(false).with_filter(filter_fn(|metadata| metadata.target() == spans::TARGET))
    }

    /// Exports these metrics from now on, and once more with [`Telemetry::end`].
    pub fn export(&self, metrics: &Arc<Metrics>) -> ExportedMetrics {
        let instruments = Instruments::new(self.meters.meter(NAME), metrics);
        let (all, meters) = (ExportedMetrics(Arc::new(instruments)), self.meters.clone());
        let exported = ExportedMetrics(all.0.clone());
        self.runtime.spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                let (exported, meters) = (exported.0.clone(), meters.clone());
                // The SDK waits for its own thread.
                let sent = tokio::task::spawn_blocking(move || {
                    exported.look();
                    meters.force_flush()
                });
                let _ = sent.await;
            }
        });
        all
    }

    /// Sends what is left, within seconds. Not to be called within the runtime, which it needs.
    pub fn end(self, exported: Option<&ExportedMetrics>) {
        if let Some(exported) = exported {
            exported.0.look();
        }
        // Who does not take it now loses it: the client has logged why.
        let _ = self.traces.shutdown_with_timeout(LAST);
        let _ = self.meters.shutdown_with_timeout(LAST);
    }
}

/// The metrics that are exported.
pub struct ExportedMetrics(Arc<Instruments>);
