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

closed_enum! {
    /// The format of log lines.
    pub enum LogFormat {
        /// One JSON object per line.
        Json => "json",
        /// Human-readable text.
        Human => "human",
    }
}

closed_enum! {
    /// A log level.
    pub enum LogLevel {
        /// Errors.
        Error => "error",
        /// Also warnings.
        Warn => "warn",
        /// Also operational events.
        Info => "info",
        /// Also details.
        Debug => "debug",
        /// Everything.
        Trace => "trace",
    }
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
        let (formats, levels) = (LogFormat::ALL, LogLevel::ALL);
        let log_format = faults.require_one_of("/telemetry/logFormat", self.log_format, formats, LogFormat::as_str);
        let log_level = faults.require_one_of("/telemetry/logLevel", self.log_level, levels, LogLevel::as_str);
        let otlp_endpoint = self.otlp_endpoint.map(address::validate_base);
        let otlp_endpoint = otlp_endpoint.and_then(|url| faults.ok_or_record("/telemetry/otlpEndpoint", url));
        Some(Telemetry { log_format: log_format?, log_level: log_level?, otlp_endpoint })
    }
}
