//! `telemetry`: logs and traces.

use super::address;
use super::fault_collector::FaultCollector;
use serde::Deserialize;

/// The validated section.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// The format of log lines.
    pub log_format: LogFormat,
    /// The minimum severity that is logged.
    pub log_level: LogLevel,
    /// The base URL of an OTLP/HTTP receiver. `None`: traces are not exported.
    pub otlp_endpoint: Option<String>,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Human-readable text.
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
    pub(super) fn validate(self, faults: &mut FaultCollector) -> Option<Telemetry> {
        let formats = [("json", LogFormat::Json), ("human", LogFormat::Human)];
        let levels = [
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ];
        let log_format = faults.require_one_of("/telemetry/logFormat", self.log_format, &formats);
        let log_level = faults.require_one_of("/telemetry/logLevel", self.log_level, &levels);
        let otlp_endpoint = match self.otlp_endpoint.map(address::validate_base).transpose() {
            Ok(endpoint) => endpoint,
            Err(why) => {
                faults.record("/telemetry/otlpEndpoint", why);
                None
            }
        };
        Some(Telemetry { log_format: log_format?, log_level: log_level?, otlp_endpoint })
    }
}
