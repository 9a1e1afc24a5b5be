//! `claviger doctor`: everything that must be right in an installation, each fault with one line of advice.

use super::failure::Failure;
use super::policy::output::{print_json, print_line, print_table};
use crate::app;
use crate::config;
use crate::wire::doctor::DoctorReport;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::timeout;

/// The time limit of the whole command; each group of checks has a shorter one.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// The options of `claviger doctor`.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// Configuration file.
    #[arg(long, env = "CLAVIGER_CONFIG", value_name = "FILE", default_value = "/etc/claviger/claviger.yaml")]
    config: PathBuf,
    /// Namespace that builds run in; repeatable (default: the broker must have its rights in all namespaces).
    #[arg(long = "namespace", value_name = "NAME")]
    namespaces: Vec<String>,
    /// json: one object (default: a table).
    #[arg(short, long)]
    output: Option<Format>,
}

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One object: `{"ok", "checks": [{"name", "ok", "detail", "advice"}]}`.
    Json,
}

/// Checks, and prints the result. Exit code 1: there is a fault.
pub fn run(doctor: &Doctor) -> ExitCode {
    let report = match examined(doctor) {
        Ok(report) => report,
        Err(failure) => return failure.print_and_code(),
    };
    let printed = if doctor.output.is_some() { print_json(&report) } else { print(&report) };
    match printed {
        Ok(()) if report.ok => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(failure) => failure.print_and_code(),
    }
}

fn examined(doctor: &Doctor) -> Result<DoctorReport, Failure> {
    let config = match config::load(&doctor.config) {
        Ok(config) => config,
        Err(faults) => {
            let line = |fault: &crate::document::Fault| match fault.dotted() {
                place if place.is_empty() => fault.detail.clone(),
                place => format!("{place}: {}", fault.detail),
            };
            return Ok(app::misconfigured(faults.iter().map(line)));
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start: {}", error.kind())))?;
    // The timer needs the runtime.
    let report =
        runtime.block_on(async { timeout(TIME_LIMIT, Box::pin(app::doctor(&config, &doctor.namespaces))).await });
    // Tasks of the stores may wait for servers that do not answer.
    runtime.shutdown_background();
    report.map_err(|_| Failure::Failed("the checks did not end within a minute".into()))
}

fn print(report: &DoctorReport) -> Result<(), Failure> {
    let word = |ok: bool| if ok { "ok" } else { "FAULT" }.to_owned();
    let rows: Vec<_> =
        report.checks.iter().map(|check| [word(check.ok), check.name.clone(), check.detail.clone()]).collect();
    print_table(["", "CHECK", "FOUND"], &rows)?;
    let faults: Vec<_> = report.checks.iter().filter(|check| !check.ok).collect();
    for check in &faults {
        print_line(&format!("{}: {}", check.name, check.advice.as_deref().unwrap_or_default()))?;
    }
    print_line(&format!("{} checks, {} faults", report.checks.len(), faults.len()))
}
