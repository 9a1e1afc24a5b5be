//! Logs: on standard error, ours at the configured level, everybody else's only from warnings up.
//!
//! HTTP and database libraries write headers and statements into their debug logs, so their levels are not for turning up.

use super::traces::{NoCourier, Traces};
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

/// Starts logging, and tracing where there is somebody to trace for; what is returned then is to be ended at the end.
/// To be called within the runtime. A second call changes nothing.
///
/// # Errors
/// When spans could not be delivered.
pub fn start(telemetry: &Telemetry) -> Result<Option<Traces>, NoCourier> {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = match telemetry.log_format {
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
        LogFormat::Human => lines.with_target(false).compact().boxed(),
    };
    let started = telemetry.otlp_endpoint.as_deref().map(Traces::start).transpose()?;
    let lines = tracing_subscriber::registry().with(layer.with_filter(log_targets(telemetry)));
    // Not `with` an `Option`: a layer that is none has no filter either, so that every span would be made, for nobody.
    // An error means that a subscriber is set already, as in tests.
    let _ = match &started {
        Some(traces) => lines.with(spans(traces).with_filter(own_spans())).try_init(),
        None => lines.try_init(),
    };
    Ok(started)
}

/// What is logged.
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
        // It logs every failed call; we log it too, once and in our words.
        .with_target("kube_client", LevelFilter::OFF)
        // Their spans and errors are about calls to Vault, which we log in our words.
        .with_target("rustify", LevelFilter::OFF)
        .with_target("vaultrs", LevelFilter::OFF)
        .with_target("claviger", level)
        // Of the spans a line needs the root alone, and that only for its trace id.
        .with_target(traces::STAGE, LevelFilter::OFF)
        .with_target(traces::REQUEST, telemetry.otlp_endpoint.as_ref().map_or(LevelFilter::OFF, |_| LevelFilter::INFO))
}

/// Ours alone: libraries put headers and paths into theirs.
fn own_spans() -> Targets {
    Targets::new().with_target(traces::REQUEST, LevelFilter::INFO).with_target(traces::STAGE, LevelFilter::INFO)
}

/// A span says what it was given, and nothing of where in the code or in which thread it was opened.
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
