//! `claviger audit verify`: verifies the hash chains of a server or of an export.

use super::log_files::{check_export_line, for_each_line, read_checkpoints};
use crate::audit::{ChainChecker, ChainHasher, ChainStart, KnownEvents, VerificationResult};
use crate::cli::command_error::CommandError;
use crate::cli::connection::{Connection, with_connection};
use crate::cli::server_arguments::ServerArguments;
use crate::config::key_file;
use crate::sealing::keys::RootKey;
use crate::wire::audit_list::{AuditVerified, BrokenPlace};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The options of `claviger audit verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArguments {
    /// Server URL, for example `https://claviger.claviger.svc:8443`.
    #[arg(long, env = "CLAVIGER_URL", value_name = "URL")]
    server: Option<String>,
    /// File with the bearer token.
    #[arg(long, env = "CLAVIGER_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// CA certificates (PEM) to trust instead of the system's.
    #[arg(long, env = "CLAVIGER_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Allow `http` to another host; the token is sent unencrypted.
    #[arg(long, env = "CLAVIGER_INSECURE")]
    insecure: bool,
    /// Export of the whole log (`-`: standard input); verified without a server.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// HMAC key of the chains (`audit.keyFile`), if configured. Further keys count as retired.
    #[arg(long = "key-file", value_name = "FILE", requires = "file")]
    key_files: Vec<PathBuf>,
    /// Retired HMAC key (`audit.retiredKeyFiles`); repeatable. Without --key-file newer chains may have no key, as on a server
    /// with only retired keys.
    #[arg(long = "retired-key-file", value_name = "FILE", requires = "file")]
    retired_key_files: Vec<PathBuf>,
    /// Standard output of the server as kept by the log system: checkpoints, pruning records, events.
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    /// Accept that missing beginnings of chains were deleted by retention.
    #[arg(long, requires = "file")]
    pruned: bool,
}

pub fn run(verify: &VerifyArguments) -> Result<(), CommandError> {
    let known = verify.checkpoints.as_deref().map(read_checkpoints).transpose()?;
    let Some(file) = &verify.file else {
        let (Some(server), Some(token_file)) = (verify.server.clone(), verify.token_file.clone()) else {
            return Err(CommandError::usage("either --server and --token-file, or --file must be given"));
        };
        let server = ServerArguments::new(server, token_file, verify.ca_file.clone(), verify.insecure);
        return with_connection(&server, async |server| verify_on_server(&server, known).await);
    };
    let mut keys = read_keys("--key-file", &verify.key_files)?;
    let current = if keys.is_empty() { None } else { Some(keys.remove(0)) };
    keys.extend(read_keys("--retired-key-file", &verify.retired_key_files)?);
    let hasher = ChainHasher::new(current.as_ref(), &keys);
    let known = known.unwrap_or_default();
    let pruned = known.clone().into_last_pruned();
    let mut checker = ChainChecker::new(Some(&hasher), known);
    for_each_line("--file", file, |line| check_export_line(&mut checker, line))?;
    let start = if verify.pruned { ChainStart::Anywhere } else { ChainStart::FirstOrPruned };
    print_result(&to_wire(checker.finish(start, &pruned)))
}

fn read_keys(option: &str, files: &[PathBuf]) -> Result<Vec<RootKey>, CommandError> {
    let keys = files.iter().map(|file| key_file::read(file).map(RootKey::new)).collect::<Result<_, _>>();
    keys.map_err(|fault| CommandError::usage(format!("{option}: {}", fault.detail)))
}

/// Has the server verify its chains. Then compares the server's events with the checkpoints, if there are any.
async fn verify_on_server(server: &Connection, known: Option<KnownEvents>) -> Result<(), CommandError> {
    let verified: AuditVerified = server.get_slow("/v1/audit/verify").await?.json()?;
    let Some(known) = known.filter(|_| verified.ok) else { return print_result(&verified) };
    let pruned: BTreeMap<_, _> = known.clone().into_last_pruned();
    // The server has the key, and has verified the hashes. It does not know the checkpoints.
    let mut checker = ChainChecker::new(None, known);
    server
        .read_lines("/v1/audit", |line| {
            check_export_line(&mut checker, line);
            Ok(())
        })
        .await?;
    print_result(&to_wire(checker.finish(ChainStart::Anywhere, &pruned)))
}

fn to_wire(verified: VerificationResult) -> AuditVerified {
    AuditVerified {
        ok: verified.first_broken.is_none(),
        events: verified.events,
        chains: verified.chains,
        first_broken: verified.first_broken.map(|broken| BrokenPlace {
            chain: broken.chain,
            seq: broken.seq,
            reason: broken.reason.as_str().into(),
        }),
    }
}

/// Prints the result.
///
/// # Errors
/// The log is broken.
fn print_result(verified: &AuditVerified) -> Result<(), CommandError> {
    let text = serde_json::to_string(verified)
        .map_err(|_| CommandError::Other("the answer cannot be written as JSON".into()))?;
    println!("{text}");
    match &verified.first_broken {
        None => Ok(()),
        Some(BrokenPlace { chain, seq, reason }) => Err(CommandError::Other(format!(
            "audit log verification failed: event {seq} of chain {chain:?} is {reason}"
        ))),
    }
}
