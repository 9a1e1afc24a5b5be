//! Logging to standard error: events of this crate from the configured level, events of libraries from `WARN`.
//!
//! The level of libraries cannot be configured, because the debug logs of HTTP and database libraries have headers and
//! statements in them.

use super::traces::{HttpClientError, TraceExporter};
use crate::config::telemetry::{LogFormat, LogLevel, Telemetry};
use crate::traces;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracer;
use tracing::{Level, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging and, with an OTLP endpoint, tracing. Returns the exporter, if there is an endpoint; it must be shut down at the
/// end. Must run in a tokio runtime, which the exporter uses. A second call does not change the logging.
///
/// # Errors
/// The client for the OTLP receiver cannot be created.
pub fn start(telemetry: &Telemetry) -> Result<Option<TraceExporter>, HttpClientError> {
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = match telemetry.log_format {
        LogFormat::Json => log.json().flatten_event(true).with_span_list(false).boxed(),
        LogFormat::Human => log.with_target(false).compact().boxed(),
    };
    let exporter = telemetry.otlp_endpoint.as_deref().map(TraceExporter::start).transpose()?;
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(log_targets(telemetry)));
    // Not `with(Option)`: a layer that is `None` has no filter, so that every span would be created although nothing
    // exports it. An error means that a subscriber is set already, as in tests.
    let _ = match &exporter {
        Some(exporter) => subscriber.with(span_layer(exporter).with_filter(span_targets())).try_init(),
        None => subscriber.try_init(),
    };
    Ok(exporter)
}

/// The log targets and their levels.
fn log_targets(telemetry: &Telemetry) -> Targets {
    let level = match telemetry.log_level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    Targets::new()
        .with_default(LevelFilter::WARN)
        // kube logs every failed call; this process logs each failure once, without its text.
        .with_target("kube_client", LevelFilter::OFF)
        .with_target("kube_runtime", LevelFilter::OFF)
        // Spans and errors of calls to Vault, which this process logs itself.
        .with_target("rustify", LevelFilter::OFF)
        .with_target("vaultrs", LevelFilter::OFF)
        // These log URLs, which contain the names of secrets.
        .with_target("azure_core", LevelFilter::OFF)
        .with_target("azure_identity", LevelFilter::OFF)
        .with_target("azure_security_keyvault_secrets", LevelFilter::OFF)
        .with_target("typespec_client_core", LevelFilter::OFF)
        .with_target("claviger", level)
        // A log line needs only the root span, for its trace ID.
        .with_target(traces::STAGE_SPAN_TARGET, LevelFilter::OFF)
        .with_target(
            traces::REQUEST_SPAN_TARGET,
            telemetry.otlp_endpoint.as_ref().map_or(LevelFilter::OFF, |_| LevelFilter::INFO),
        )
}

/// The targets whose spans are exported: not those of libraries, which have headers and paths in them.
fn span_targets() -> Targets {
    Targets::new()
        .with_target(traces::REQUEST_SPAN_TARGET, LevelFilter::INFO)
        .with_target(traces::STAGE_SPAN_TARGET, LevelFilter::INFO)
}

/// Exports spans with the attributes that the code sets, without code location and thread.
fn span_layer<S>(exporter: &TraceExporter) -> OpenTelemetryLayer<S, SdkTracer>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(exporter.provider().tracer("claviger"))
        .with_location(false)
        .with_threads(false)
        .with_level(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_targets_of_libraries_that_log_paths_are_off() {
        let address = Some("http://127.0.0.1:4318".into());
        for otlp_endpoint in [None, address] {
            let targets =
                log_targets(&Telemetry { log_level: LogLevel::Trace, log_format: LogFormat::Json, otlp_endpoint });
            for target in
                ["rustify", "rustify::http", "rustify::endpoint", "rustify::client", "vaultrs", "vaultrs::api"]
            {
                assert!(!targets.would_enable(target, &Level::ERROR), "{target}");
                assert!(!span_targets().would_enable(target, &Level::ERROR), "{target}");
            }
            assert!(targets.would_enable("claviger::stores", &Level::TRACE));
            assert!(targets.would_enable("hyper", &Level::WARN) && !targets.would_enable("hyper", &Level::INFO));
        }
        assert!(span_targets().would_enable(traces::REQUEST_SPAN_TARGET, &Level::INFO));
    }
}
