//! `claviger fetch`: downloads the secrets of a repo and branch to a file or standard output.

use super::atomic_file::{AtomicFile, Mode};
use super::bundle;
use super::command_error::CommandError;
use super::download::{DownloadArguments, Progress, Sizes, TicketClient};
use super::runtime::block_on;
use super::workflow::{RunnerStream, StepFiles};
use crate::model::format::Format;
use clap::builder::NonEmptyStringValueParser;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The options of `claviger fetch`.
#[derive(Debug, clap::Args)]
pub struct FetchArguments {
    #[command(flatten)]
    download: DownloadArguments,
    /// Output format: export, dotenv, dotenv-expand, json, raw, tar, docker-config, npmrc, netrc [default: export].
    #[arg(long)]
    format: Option<Format>,
    /// Output file, written atomically; `-` is standard output (default: standard output).
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Mode of the output file, independent of the umask; 0640 lets other users of its group read it.
    #[arg(long, value_name = "OCTAL", requires = "output", default_value = "0600")]
    mode: Mode,
    /// Append the variables to the file `GITHUB_ENV`, for the later steps of a job of GitHub Actions, and mask their values in its log.
    #[arg(long, conflicts_with_all = ["format", "output", "key"])]
    github_env: bool,
    /// Print only the value of this key (with --format raw).
    #[arg(long, value_name = "NAME", conflicts_with = "keys", value_parser = NonEmptyStringValueParser::new())]
    key: Option<String>,
    /// Only these keys.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    keys: Option<Vec<String>>,
    /// Shorter lifetime of the ticket than the policies give.
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
}

impl FetchArguments {
    /// Fetches, and writes or prints the bundle.
    pub fn run(&self) -> Result<(), CommandError> {
        let format = match (self.format, &self.key) {
            (None | Some(Format::Raw), Some(_)) => Format::Raw,
            (Some(_), Some(_)) => return Err(CommandError::usage("--key: goes with --format raw")),
            (format, None) => format.unwrap_or_default(),
        };
        // Checked before any request, so that no ticket is consumed for a file that cannot be written.
        let file = self.output.as_deref().filter(|path| *path != Path::new("-"));
        let target = file.map(|path| AtomicFile::new("--output", path, self.mode)).transpose()?;
        let mut environment = self.github_env.then(StepFiles::open).transpose()?;
        let is_printed = target.is_none() && environment.is_none();
        let runner = if is_printed { RunnerStream::Stderr } else { RunnerStream::Stdout };
        let is_masked = self.github_env || self.download.server.token.is_github_actions();
        let progress = Progress::on_terminal();
        let keys = self.key.clone().map(|key| vec![key]).or_else(|| self.keys.clone());
        let request = self.download.request(keys, self.ttl.clone());
        let check_names = |sizes: &Sizes| {
            if self.github_env { StepFiles::check_names(sizes.keys().map(String::as_str)) } else { Ok(()) }
        };
        let (downloaded, keys) = block_on(async {
            let mut client =
                TicketClient::open(&self.download.server, self.download.time_limit, progress, runner).await?;
            let fetched = client.fetch_if(&request, format, check_names).await?;
            if is_masked {
                let values = bundle::parse_secrets(format, &fetched.0.bytes, &fetched.1)?;
                runner.mask(&values)?;
                if let Some(environment) = &mut environment {
                    environment.append(&values)?;
                }
            }
            if let Some(target) = &target {
                target.write(&fetched.0.bytes)?;
            }
            Ok(fetched)
        })?;
        let location = target.as_ref().map(|target| format!(" in {}", target.path().display())).unwrap_or_default();
        if is_printed {
            print_bytes(&downloaded.bytes)?;
        }
        let stale = if downloaded.stale { " (older values: a store could not be reached)" } else { "" };
        progress.finish(&format!("{} keys{location}{stale}", keys.len()));
        Ok(())
    }
}

fn print_bytes(bytes: &Zeroizing<Vec<u8>>) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|error| CommandError::Other(format!("cannot write to standard output: {}", error.kind())))
}
