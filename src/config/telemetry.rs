//! `telemetry`: logs and traces.

use super::address;
use super::check::Check;
use serde::Deserialize;

/// The checked section.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// The format of log lines.
    pub log_format: LogFormat,
    /// The minimum severity that is logged.
    pub log_level: LogLevel,
    /// The base URL of an OTLP/HTTP receiver; no traces are exported without one.
    pub otlp_endpoint: Option<String>,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for people.
    Human,
}

/// A log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Errors.
    Error,
    /// Also warnings.
    Warn,
    /// Also operational events.
    Info,
    /// Also details.
    Debug,
    /// Everything.
    Trace,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawTelemetry {
    log_format: Option<String>,
    log_level: Option<String>,
    otlp_endpoint: Option<String>,
}

impl RawTelemetry {
    pub(super) fn check(self, check: &mut Check) -> Option<Telemetry> {
        let formats = [("json", LogFormat::Json), ("human", LogFormat::Human)];
        let levels = [
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ];
        let log_format = check.word("/telemetry/logFormat", self.log_format, &formats);
        let log_level = check.word("/telemetry/logLevel", self.log_level, &levels);
        let otlp_endpoint = match self.otlp_endpoint.map(address::check_base).transpose() {
            Ok(endpoint) => endpoint,
            Err(why) => {
                check.fault("/telemetry/otlpEndpoint", why);
                None
            }
        };
        Some(Telemetry { log_format: log_format?, log_level: log_level?, otlp_endpoint })
    }
}
