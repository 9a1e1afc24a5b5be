//! `claviger dev`: runs the code of `serve` with an embedded configuration, sample secrets and a local issuer.

use super::command_error::CommandError;
use super::config_file::config_error;
use super::dev_issuer::Issuer;
use super::dev_state::StateFolder;
use super::serve::serve;
use crate::app::Running;
use crate::config;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const SAMPLE_SECRETS: &str = include_str!("dev_secrets.yaml");
const SAMPLE_POLICY: &str = include_str!("dev_policy.yaml");

/// Name of the authenticator for the local issuer.
const AUTHENTICATOR: &str = "dev";
/// `iss` of the local issuer, with a host name that cannot exist (RFC 2606).
const ISSUER: &str = "https://dev.claviger.invalid";

/// The options of `claviger dev`.
#[derive(Debug, clap::Args)]
pub struct DevArguments {
    /// Address of the API listener.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Address of the ops listener.
    #[arg(long, default_value = "127.0.0.1:9090")]
    ops_listen: SocketAddr,
    /// Secrets to serve instead of the samples: {"homelab/site/main": {"KEY": "value"}}.
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// Policies to use instead of the sample.
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Folder for tokens, database and samples.
    #[arg(long, value_name = "DIR", default_value = ".claviger-dev")]
    state: PathBuf,
}

/// Serves until a signal ends the process.
pub fn run(dev: &DevArguments) -> Result<(), CommandError> {
    let state = prepare(dev).map_err(|error| CommandError::from_error(&*error))?;
    let config = config::load_embedded(&configuration(dev, &state));
    let config = config.map_err(|faults| config_error(Path::new("claviger dev"), &faults))?;
    serve(&config, |running| print_welcome(running, &state))
}

/// Creates the folder, the issuer's keys and tokens, and the samples.
fn prepare(dev: &DevArguments) -> Result<StateFolder, Box<dyn std::error::Error>> {
    let state = StateFolder::open(&dev.state)?;
    let issuer = Issuer::new(ISSUER)?;
    state.write("jwks.json", &issuer.jwks())?;
    state.write("token", &issuer.sign_token("sample-build", "build")?)?;
    state.write("admin-token", &issuer.sign_token("sample-admin", "admin")?)?;
    state.write("secrets.yaml", SAMPLE_SECRETS)?;
    state.write("policies/sample.yaml", SAMPLE_POLICY)?;
    Ok(state)
}

/// The configuration, in JSON: a JSON string is valid YAML for any path.
fn configuration(dev: &DevArguments, state: &StateFolder) -> String {
    let secrets = dev.secrets.clone().unwrap_or_else(|| state.path("secrets.yaml"));
    let policies = dev.policies.clone().unwrap_or_else(|| state.path("policies"));
    json!({
        "server": {"listen": dev.listen, "opsListen": dev.ops_listen},
        "authenticators": [{
            "name": AUTHENTICATOR,
            "oidc": {"issuer": ISSUER, "audience": "claviger", "jwksFile": state.path("jwks.json"), "algorithms": ["ES256"]},
        }],
        "administrators": {"static": [{"authenticator": AUTHENTICATOR, "claims": {"role": "admin"}}]},
        "stores": [{"name": "local", "file": {"path": secrets}}],
        "database": {"url": format!("sqlite://{}", state.path("claviger.db").display())},
        "policies": {"directory": policies},
        "telemetry": {"logFormat": "human"},
    })
    .to_string()
}

fn print_welcome(running: &Running, state: &StateFolder) {
    let url = format!("http://{}", running.api);
    let [token, head] = ["token", "head"].map(|name| state.path(name).display().to_string());
    println!(
        "Claviger answers on {url} (metrics on http://{}/metrics). Two lines fetch a secret, once:\n\n\
         URL=$(curl -fsS -H \"Authorization: Bearer $(cat '{token}')\" -H 'Accept: text/plain' --data-urlencode repo=moreira.dev --data-urlencode branch=main {url}/v1/tickets)\n\
         curl -fsS \"$URL\" -D '{head}' && tail -n 1 '{head}' | grep -q '^.$'\n\n\
         This is for trying things out on your own machine, not for production.",
        running.ops
    );
}
