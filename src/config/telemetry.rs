//! `telemetry`: logs and traces.

use super::check::Check;
use serde::Deserialize;

/// The checked section.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// How a log line looks.
    pub log_format: LogFormat,
    /// The least severe level that is logged.
    pub log_level: LogLevel,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Human,
}

/// A log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Errors.
    Error,
    /// And warnings.
    Warn,
    /// And what an operator wants to know.
    Info,
    /// And details.
    Debug,
    /// And everything.
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
        if self.otlp_endpoint.is_some() {
            check.fault("/telemetry/otlpEndpoint", "traces are not supported by this version");
        }
        Some(Telemetry { log_format: log_format?, log_level: log_level? })
    }
}
