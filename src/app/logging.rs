//! Logs: on standard error, ours at the configured level, everybody else's only from warnings up.
//!
//! HTTP and database libraries write headers and statements into their debug logs, so their levels are not for turning up.

use crate::config::telemetry::{LogFormat, LogLevel, Telemetry};
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging. A second call changes nothing.
pub fn start(telemetry: &Telemetry) {
    let level = match telemetry.log_level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        // It logs every failed call; we log it too, once and in our words.
        .with_target("kube_client", LevelFilter::OFF)
        .with_target("claviger", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = match telemetry.log_format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Human => lines.with_target(false).compact().boxed(),
    };
    // An error means that a subscriber is set already, as in tests.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
}
