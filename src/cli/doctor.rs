//! `claviger doctor`: diagnoses an installation, and prints one line of advice for each fault.

use super::command_error::CommandError;
use super::policy::output::{JsonFormat, print_json, print_line, print_table};
use super::runtime::multi_thread_runtime;
use crate::app;
use crate::config;
use crate::wire::doctor::DoctorReport;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::timeout;

/// Time limit of the whole command. Each group of checks has a shorter one.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// The options of `claviger doctor`.
#[derive(Debug, clap::Args)]
pub struct DoctorArguments {
    /// Configuration file.
    #[arg(long, env = "CLAVIGER_CONFIG", value_name = "FILE", default_value = "/etc/claviger/claviger.yaml")]
    config: PathBuf,
    /// Namespace that builds run in; repeatable (default: the broker must have its rights in all namespaces).
    #[arg(long = "namespace", value_name = "NAME")]
    namespaces: Vec<String>,
    /// json: one object (default: a table).
    #[arg(short, long)]
    output: Option<JsonFormat>,
}

/// Checks, and prints the result. Exit code 1: there is a fault.
pub fn run(doctor: &DoctorArguments) -> Result<(), CommandError> {
    let report = diagnose(doctor)?;
    if doctor.output.is_some() { print_json(&report) } else { print_report(&report) }?;
    if report.ok { Ok(()) } else { Err(CommandError::Printed) }
}

/// The report. The faults of an invalid configuration are a report too.
fn diagnose(doctor: &DoctorArguments) -> Result<DoctorReport, CommandError> {
    let config = match config::load(&doctor.config) {
        Ok(config) => config,
        Err(faults) => {
            let line = |fault: &crate::document::Fault| match fault.dotted_path() {
                key if key.is_empty() => fault.detail.clone(),
                key => format!("{key}: {}", fault.detail),
            };
            return Ok(app::misconfiguration_report(faults.iter().map(line)));
        }
    };
    let runtime = multi_thread_runtime()?;
    // `timeout` must be called within the runtime.
    let report =
        runtime.block_on(async { timeout(TIME_LIMIT, Box::pin(app::diagnose(&config, &doctor.namespaces))).await });
    // Tasks of the stores may wait for servers that do not answer.
    runtime.shutdown_background();
    report.map_err(|_| CommandError::Other("the checks did not end within a minute".into()))
}

fn print_report(report: &DoctorReport) -> Result<(), CommandError> {
    let state = |ok: bool| if ok { "ok" } else { "FAULT" }.to_owned();
    let rows: Vec<_> =
        report.checks.iter().map(|check| [state(check.ok), check.name.clone(), check.detail.clone()]).collect();
    print_table(["", "CHECK", "FOUND"], &rows)?;
    let faults: Vec<_> = report.checks.iter().filter(|check| !check.ok).collect();
    for check in &faults {
        print_line(&format!("{}: {}", check.name, check.advice.as_deref().unwrap_or_default()))?;
    }
    print_line(&format!("{} checks, {} faults", report.checks.len(), faults.len()))
}
