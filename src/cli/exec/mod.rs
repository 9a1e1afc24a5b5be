//! `claviger exec`: runs a command with the secrets of a repo and branch in its environment, without Claviger's own variables.
//!
//! It downloads the format `export`, although no shell reads the download: for this format the server refuses names such as
//! `LD_PRELOAD`, which change how a command runs, unless a policy lists them literally.

mod argument_space;
mod exit_code;
mod masked_command;
mod output_files;
mod signals;

pub use exit_code::FAILED;

use super::bundle::{self, Values, tar};
use super::command_error::CommandError;
use super::download::{DownloadArguments, DownloadedBundle, Progress, Sizes, TicketClient};
use super::runtime::block_on;
use super::workflow::RunnerStream;
use crate::model::format::Format;
use crate::wire::problem::Code;
use crate::wire::ticket::TicketRequest;
use argument_space::ArgumentSpace;
use clap::builder::NonEmptyStringValueParser;
use output_files::{FileOption, OutputFiles, ValuesByKey};
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

/// Variables that are removed from the environment of the command, so that the command cannot request other secrets.
const CLAVIGER_VARIABLES: [&str; 7] = [
    "CLAVIGER_URL",
    "CLAVIGER_TOKEN_FROM",
    "CLAVIGER_TOKEN_FILE",
    "CLAVIGER_AUDIENCE",
    "CLAVIGER_ID_TOKEN",
    "CLAVIGER_CA_FILE",
    "CLAVIGER_INSECURE",
];

/// The options of `claviger exec`.
#[derive(Debug, clap::Args)]
pub struct ExecArguments {
    #[command(flatten)]
    download: DownloadArguments,
    /// Only these keys.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    only: Option<Vec<String>>,
    /// This key in a file for its owner only, not in the environment; may be repeated. With --mask it is removed at
    /// the end.
    #[arg(long = "file", value_name = "NAME=PATH")]
    files: Vec<FileOption>,
    /// Run the command as a child and replace secret values in its output by ***.
    #[arg(long)]
    mask: bool,
    /// Command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Replaces this process by the command. With `--mask`, runs the command as a child, and returns its exit code.
pub fn run(exec: &ExecArguments) -> ExitCode {
    exec.run().unwrap_or_else(|error| {
        error.report();
        ExitCode::from(FAILED)
    })
}

impl ExecArguments {
    fn run(&self) -> Result<ExitCode, CommandError> {
        let mut files = OutputFiles::new(&self.files)?;
        let DownloadArguments { server, time_limit, .. } = &self.download;
        let result = block_on(async {
            // Standard output belongs to the command.
            let mut client =
                TicketClient::open(server, *time_limit, Progress::on_terminal(), RunnerStream::Stderr).await?;
            let environment = self.fetch_environment(&mut client).await?;
            let file_values = self.fetch_file_values(&mut client).await?;
            if self.download.required && environment.is_empty() && file_values.is_empty() {
                let code = Code::SecretNotFound;
                return Err(CommandError::Other(format!("{}: {}", code.as_str(), code.title())));
            }
            if server.token.is_github_actions() {
                RunnerStream::Stderr.mask(&environment)?;
                RunnerStream::Stderr.mask(&file_values.values_to_mask())?;
            }
            let stop = files.write_until_signal(&file_values).await?;
            Ok((environment, file_values.values_to_mask(), stop))
        });
        let (environment, masked_files, stop) = result.inspect_err(|_| files.remove())?;
        if let Some(signal) = stop {
            files.remove();
            return Ok(ExitCode::from(masked_command::signal_exit_code(signal.as_raw())));
        }
        let exit = if self.mask {
            let secrets = environment.iter().chain(&masked_files).map(|(name, value)| (name.as_str(), value));
            masked_command::run(self.command(&environment), secrets)
        } else {
            Ok(self.report_start_error(&self.command(&environment).exec()))
        };
        // The command has ended or did not start.
        files.remove();
        exit
    }

    /// Fetches the variables. The server reports their lengths with the ticket, so they are checked before the ticket is redeemed.
    async fn fetch_environment(&self, client: &mut TicketClient<'_>) -> Result<Values, CommandError> {
        let is_in_file = |name: &str| self.files.iter().any(|file| file.name == name);
        let only = self.only.as_ref().map(|only| only.iter().filter(|name| !is_in_file(name)).cloned().collect());
        if only.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Values::new());
        }
        let space = ArgumentSpace::for_command(&self.command, &self.removed_variables());
        let check_sizes = |sizes: &Sizes| {
            let variables = sizes.iter().filter(|(name, _)| !is_in_file(name));
            space.check(variables.map(|(name, size)| (name.as_str(), *size)))
        };
        let request = self.ticket_request(only);
        let (text, _) = client.fetch_if(&request, Format::Export, check_sizes).await?;
        let mut values = bundle::parse(as_text(&text)?)?;
        values.retain(|(name, _)| !is_in_file(name));
        // Checked again, because an older server does not report the lengths with the ticket.
        space.check(values.iter().map(|(name, value)| (name.as_str(), value.len())))?;
        Ok(values)
    }

    /// Fetches the values for files, as bytes: in one archive. A key whose name an archive cannot have is fetched with its own ticket.
    async fn fetch_file_values(&self, client: &mut TicketClient<'_>) -> Result<ValuesByKey, CommandError> {
        let mut values = ValuesByKey::default();
        let names = self.files.iter().map(|file| file.name.clone());
        let (packed, single): (Vec<_>, Vec<_>) = names.partition(|name| tar::can_have_name(name));
        if !packed.is_empty() {
            let (archive, _) = client.fetch(&self.ticket_request(Some(packed)), Format::Tar).await?;
            values.add_archive(&archive.bytes)?;
        }
        for name in single {
            let request = self.ticket_request(Some(vec![name.clone()]));
            let (value, keys) = client.fetch(&request, Format::Raw).await?;
            if !keys.is_empty() {
                values.add(name, value.bytes.to_vec().into());
            }
        }
        Ok(values)
    }

    /// The request for one of the tickets. `required` is sent only if the ticket is for all keys of this command: the server
    /// applies it to each ticket, and with `--file` a ticket may be empty although there are secrets.
    fn ticket_request(&self, keys: Option<Vec<String>>) -> TicketRequest {
        let is_for_all_keys = keys.is_none() || self.files.is_empty();
        let request = self.download.request(keys, None);
        TicketRequest { required: request.required.filter(|_| is_for_all_keys), ..request }
    }

    fn command(&self, environment: &Values) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        for name in self.removed_variables() {
            command.env_remove(name);
        }
        for (name, value) in environment {
            #[expect(clippy::disallowed_methods, reason = "the value goes into the environment that it is for")]
            command.env(name, value.expose_secret());
        }
        command
    }

    /// The variables that the command does not get.
    fn removed_variables(&self) -> Vec<&str> {
        CLAVIGER_VARIABLES.into_iter().chain(self.download.server.token.variables()).collect()
    }

    fn report_start_error(&self, error: &std::io::Error) -> ExitCode {
        masked_command::report_start_error(&self.command[0], error)
    }
}

fn as_text(downloaded: &DownloadedBundle) -> Result<&str, CommandError> {
    std::str::from_utf8(&downloaded.bytes).map_err(|_| CommandError::Other("the bundle is not UTF-8".into()))
}
