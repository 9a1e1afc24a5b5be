//! `claviger csi`: a provider for the Secrets Store CSI driver of a node. It serves gRPC `v1alpha1` on a Unix socket, and
//! downloads bundles as `claviger fetch` does, with the tokens of the pods that mount them.

mod attributes;
mod files;
mod mount;
mod mount_error;
mod probe;
mod proto;
mod serve;
mod service;
mod socket;
mod token;

use super::command_error::CommandError;
use super::runtime::block_on;
use super::server_arguments::ServerArguments;
use crate::app;
use crate::config::telemetry::{LogFormat, LogLevel, Telemetry};
use crate::model::duration;
use mount::{MAX_TIME_LIMIT, MIN_TIME_LIMIT, Provider};
use serve::serve;
use socket::Socket;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// The options of `claviger csi`.
#[derive(Debug, clap::Args)]
pub struct CsiArguments {
    /// Unix socket to serve on. Its file name is the provider's name: claviger.sock is `provider: claviger`.
    #[arg(long, value_name = "FILE", default_value = "/var/run/secrets-store-csi-providers/claviger.sock")]
    socket: PathBuf,
    /// Server URL, for example `https://claviger.claviger.svc:8443`.
    #[arg(long, env = "CLAVIGER_URL", value_name = "URL", required_unless_present = "probe")]
    server: Option<String>,
    /// CA certificates (PEM) to trust instead of the system's.
    #[arg(long, env = "CLAVIGER_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Allow `http` to another host; tokens and secrets are sent unencrypted.
    #[arg(long, env = "CLAVIGER_INSECURE")]
    insecure: bool,
    /// Audience of the pods' tokens: one of the `tokenRequests` of the `CSIDriver` object.
    #[arg(long, value_name = "TEXT", default_value = "claviger")]
    audience: String,
    /// Time limit of a mount, including retries; at most 30s.
    #[arg(long, value_name = "DURATION", default_value = "25s", value_parser = parse_time_limit)]
    timeout: Duration,
    /// Check that a provider answers on the socket, and exit.
    #[arg(long)]
    probe: bool,
}

fn parse_time_limit(text: &str) -> Result<Duration, String> {
    let limit = duration::parse(text).map_err(|error| error.to_string())?;
    let is_valid = (MIN_TIME_LIMIT..=MAX_TIME_LIMIT).contains(&limit);
    is_valid.then_some(limit).ok_or_else(|| "must be from 1s to 30s".to_owned())
}

/// Serves until a signal arrives. With `--probe`, only checks that a provider answers.
pub fn run(csi: &CsiArguments) -> Result<(), CommandError> {
    if csi.probe { probe::probe(&csi.socket) } else { csi.serve() }
}

impl CsiArguments {
    fn serve(&self) -> Result<(), CommandError> {
        let server = self.server.clone().unwrap_or_default();
        let arguments = ServerArguments::new(server, PathBuf::new(), self.ca_file.clone(), self.insecure);
        let provider = Arc::new(Provider::open(arguments, self.audience.clone(), self.timeout)?);
        let start_error = |why: &dyn std::fmt::Display| CommandError::Other(format!("cannot start: {why}"));
        block_on(async {
            let telemetry = Telemetry { log_format: LogFormat::Json, log_level: LogLevel::Info, otlp_endpoint: None };
            app::start_logging(&telemetry).map_err(|error| start_error(&error))?;
            let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
            let [Ok(mut terminate), Ok(mut interrupt)] = signals else { return Err(start_error(&"no signals")) };
            let (socket, listener) = Socket::bind(&self.socket)?;
            tracing::info!(audience = self.audience, "provider listening");
            let stopped = async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                socket.remove();
                tracing::info!("provider stopping");
            };
            serve(listener, provider, stopped).await;
            Ok(())
        })
    }
}
