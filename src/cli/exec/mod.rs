//! `claviger exec`: runs a command with the secrets of a repo and branch in its environment, without Claviger's own variables.
//!
//! It fetches the format `export`, although no shell is involved, so that the server refuses names that take over a shell or a
//! command, unless a policy lists them literally.

mod argument_space;
mod exit_code;
mod key_file;
mod masked;
mod signals;

pub use exit_code::FAILED;

use super::bundle::{self, Values};
use super::download::{Downloaded, Progress, Sizes, Source, Wanted, block_on};
use super::failure::Failure;
use super::workflow::Commands;
use crate::model::format::Format;
use argument_space::ArgumentSpace;
use key_file::{KeyFile, KeyFiles};
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

/// Variables that are removed from the command's environment: the command gets its secrets, but not the
/// credentials for requesting others.
const OURS: [&str; 7] = [
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
pub struct Exec {
    #[command(flatten)]
    wanted: Wanted,
    /// Only these keys.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Option<Vec<String>>,
    /// This key in a file for its owner only, not in the environment; may be repeated. With --mask it is removed in the
    /// end.
    #[arg(long = "file", value_name = "NAME=PATH")]
    files: Vec<KeyFile>,
    /// Run the command as a child and replace secret values in its output by ***.
    #[arg(long)]
    mask: bool,
    /// Command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Replaces this process by the command; with a mask, runs it as a child and returns its exit code.
pub fn run(exec: &Exec) -> ExitCode {
    exec.run().unwrap_or_else(|failure| {
        failure.print_and_code();
        ExitCode::from(FAILED)
    })
}

impl Exec {
    fn run(&self) -> Result<ExitCode, Failure> {
        let mut files = KeyFiles::new(&self.files)?;
        let Wanted { server, bound, .. } = &self.wanted;
        let fetched = block_on(async {
            // Standard output is the command's.
            let mut source = Source::open(server, *bound, Progress::on_terminal(), Commands::Stderr).await?;
            let environment = self.environment(&mut source).await?;
            let in_files = self.in_files(&mut source).await?;
            if server.token.is_github_actions() {
                Commands::Stderr.mask(&environment)?;
                Commands::Stderr.mask(&in_files)?;
            }
            files.write(&in_files)?;
            Ok((environment, in_files))
        });
        let (environment, in_files) = fetched.inspect_err(|_| files.remove())?;
        let ended = if self.mask {
            let secrets = environment.iter().chain(&in_files).map(|(name, value)| (name.as_str(), value));
            masked::run(self.command(&environment), secrets)
        } else {
            Ok(self.cannot_run(&self.command(&environment).exec()))
        };
        // The command did not start, so nothing needs the files.
        files.remove();
        ended
    }

    /// Fetches the variables, if they fit: checked before the ticket is redeemed, because the server reports the lengths.
    async fn environment(&self, source: &mut Source<'_>) -> Result<Values, Failure> {
        let is_in_file = |name: &str| self.files.iter().any(|file| file.name == name);
        let only = self.only.as_ref().map(|only| only.iter().filter(|name| !is_in_file(name)).cloned().collect());
        if only.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Values::new());
        }
        let space = ArgumentSpace::here(&self.command, &self.removed());
        let fits = |sizes: &Sizes| {
            let variables = sizes.iter().filter(|(name, _)| !is_in_file(name));
            space.fits(variables.map(|(name, size)| (name.as_str(), *size)))
        };
        let request = self.wanted.request(only, None);
        let (text, _) = source.fetch_if(&request, Format::Export, fits).await?;
        let mut values = bundle::read(as_text(&text)?)?;
        values.retain(|(name, _)| !is_in_file(name));
        // An older server reports no lengths.
        space.fits(values.iter().map(|(name, value)| (name.as_str(), value.len())))?;
        Ok(values)
    }

    /// Fetches values for files. JSON can carry values that no variable can.
    async fn in_files(&self, source: &mut Source<'_>) -> Result<Values, Failure> {
        if self.files.is_empty() {
            return Ok(Values::new());
        }
        let names = self.files.iter().map(|file| file.name.clone()).collect();
        let (text, _) = source.fetch(&self.wanted.request(Some(names), None), Format::Json).await?;
        Ok(bundle::read(as_text(&text)?)?)
    }

    fn command(&self, environment: &Values) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        for name in self.removed() {
            command.env_remove(name);
        }
        for (name, value) in environment {
            #[expect(clippy::disallowed_methods, reason = "the value goes into the environment that it is for")]
            command.env(name, value.expose_secret());
        }
        command
    }

    /// The variables that the command does not get.
    fn removed(&self) -> Vec<&str> {
        OURS.into_iter().chain(self.wanted.server.token.variables()).collect()
    }

    fn cannot_run(&self, error: &std::io::Error) -> ExitCode {
        masked::cannot_run(&self.command[0], error)
    }
}

fn as_text(downloaded: &Downloaded) -> Result<&str, Failure> {
    std::str::from_utf8(&downloaded.bytes).map_err(|_| Failure::Failed("the bundle is not UTF-8".into()))
}
