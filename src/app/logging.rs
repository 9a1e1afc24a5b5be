//! Logs: on standard error, ours at the configured level, those of libraries from warnings up.
//!
//! HTTP and database libraries write headers and statements into their debug logs, so their level cannot be
//! configured.

use super::traces::{NoHttpClient, Traces};
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

/// Starts logging and, with an OTLP endpoint, tracing; the returned value must be ended at shutdown. Call it
/// within the runtime. A second call changes nothing.
///
/// # Errors
/// The client for the OTLP receiver cannot be created.
pub fn start(telemetry: &Telemetry) -> Result<Option<Traces>, NoHttpClient> {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = match telemetry.log_format {
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
        LogFormat::Human => lines.with_target(false).compact().boxed(),
    };
    let started = telemetry.otlp_endpoint.as_deref().map(Traces::start).transpose()?;
    let lines = tracing_subscriber::registry().with(layer.with_filter(log_targets(telemetry)));
    // Not `with` an `Option`: a layer that is `None` has no filter either, so that every span would be created
    // without use. An error means that a subscriber is set already, as in tests.
    let _ = match &started {
        Some(traces) => lines.with(spans(traces).with_filter(own_spans())).try_init(),
        None => lines.try_init(),
    };
    Ok(started)
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
        // It logs every failed call; this process logs each failure once, without its text.
        .with_target("kube_client", LevelFilter::OFF)
        .with_target("kube_runtime", LevelFilter::OFF)
        // Its spans and errors describe calls to Vault, which this process logs itself.
        .with_target("rustify", LevelFilter::OFF)
        .with_target("vaultrs", LevelFilter::OFF)
        // Their debug lines have URLs with the names of secrets.
        .with_target("azure_core", LevelFilter::OFF)
        .with_target("azure_identity", LevelFilter::OFF)
        .with_target("azure_security_keyvault_secrets", LevelFilter::OFF)
        .with_target("typespec_client_core", LevelFilter::OFF)
        .with_target("claviger", level)
        // A log line needs only the root span, for its trace ID.
        .with_target(traces::STAGE, LevelFilter::OFF)
        .with_target(traces::REQUEST, telemetry.otlp_endpoint.as_ref().map_or(LevelFilter::OFF, |_| LevelFilter::INFO))
}

/// Only our spans: libraries put headers and paths into theirs.
fn own_spans() -> Targets {
    Targets::new().with_target(traces::REQUEST, LevelFilter::INFO).with_target(traces::STAGE, LevelFilter::INFO)
}

/// A span has only the attributes that it was given; not the code location or the thread.
fn spans<S>(traces: &Traces) -> OpenTelemetryLayer<S, SdkTracer>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(traces.provider().tracer("claviger"))
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
    fn libraries_that_name_paths_are_neither_logged_nor_traced() {
        let address = Some("http://127.0.0.1:4318".into());
        for otlp_endpoint in [None, address] {
            let logged =
                log_targets(&Telemetry { log_level: LogLevel::Trace, log_format: LogFormat::Json, otlp_endpoint });
            for target in
                ["rustify", "rustify::http", "rustify::endpoint", "rustify::client", "vaultrs", "vaultrs::api"]
            {
                assert!(!logged.would_enable(target, &Level::ERROR), "{target}");
                assert!(!own_spans().would_enable(target, &Level::ERROR), "{target}");
            }
            assert!(logged.would_enable("claviger::stores", &Level::TRACE));
            assert!(logged.would_enable("hyper", &Level::WARN) && !logged.would_enable("hyper", &Level::INFO));
        }
        assert!(own_spans().would_enable(traces::REQUEST, &Level::INFO));
    }
}
