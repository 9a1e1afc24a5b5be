//! The error of a command: its message and its exit code.

use super::terminal::escape_for_terminal;
use crate::app::{StartError, with_causes};
use crate::document::Fault;
use crate::wire::problem::{Code, Problem};
use std::error::Error;
use std::process::ExitCode;

/// Exit code: the server or a test case failed.
const FAILED: u8 = 1;
/// Exit code: the command line or a file is invalid.
pub const USAGE: u8 = 2;
/// Exit code: the server refused the caller.
const DENIED: u8 = 3;
/// Exit code: the server is unreachable or temporarily unavailable.
const UNAVAILABLE: u8 = 4;

/// Why a command failed.
#[derive(Debug)]
pub enum CommandError {
    /// Errors of the command line or of files, one per line.
    Usage(Vec<String>),
    /// The server responded with an error. `problem` is its body, if Claviger wrote it.
    Refused {
        status: u16,
        problem: Option<Box<Problem>>,
        /// Request id in the server's log and audit log.
        request_id: Option<String>,
    },
    /// Faults that the server found in documents, one per line.
    InvalidDocuments(Vec<String>),
    /// The server did not respond, for this reason.
    Unreachable(&'static str),
    /// The response to a download was lost, and the ticket can no longer be redeemed.
    TicketLost,
    /// A service other than the server is unavailable.
    Unavailable(String),
    /// The body of a response exceeds the client's limit.
    AnswerTooLarge,
    /// Another error.
    Other(String),
    /// The error is printed already.
    Printed,
}

impl CommandError {
    /// One error of the command line or of a file.
    pub fn usage(line: impl Into<String>) -> Self {
        Self::Usage(vec![line.into()])
    }

    /// Faults of the document at this position, one per line; see [`fault_line`].
    pub fn from_faults(position: &str, faults: &[Fault]) -> Self {
        Self::Usage(faults.iter().map(|fault| fault_line(position, fault)).collect())
    }

    /// An error with its causes.
    pub fn from_error(error: &dyn Error) -> Self {
        Self::Other(with_causes(error))
    }

    /// Whether Claviger responded with `404`.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, problem: Some(_), .. })
    }

    const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Refused { status: 401 | 403, .. } => DENIED,
            // A 502 of Claviger itself means a wrong configuration, for which a retry is useless.
            Self::Refused { status: 502, problem: Some(_), .. } => FAILED,
            Self::Refused { status: 429 | 502..=504, .. } | Self::Unreachable(_) | Self::Unavailable(_) => UNAVAILABLE,
            Self::Refused { .. }
            | Self::InvalidDocuments(_)
            | Self::TicketLost
            | Self::AnswerTooLarge
            | Self::Other(_)
            | Self::Printed => FAILED,
        }
    }

    /// Prints the error on standard error, and returns the exit code.
    pub fn report(&self) -> ExitCode {
        match self {
            Self::Usage(lines) | Self::InvalidDocuments(lines) => {
                for line in lines {
                    eprintln!("{}", escape_for_terminal(line));
                }
            }
            Self::Printed => {}
            other => eprintln!("claviger: {}", escape_for_terminal(&other.message())),
        }
        ExitCode::from(self.exit_code())
    }

    /// The message, without the name of the program.
    pub fn message(&self) -> String {
        match self {
            Self::Refused { problem: Some(problem), request_id, .. } => {
                // The detail that all problems with this code have says no more than the code.
                let default = Code::from_name(&problem.code).map(Code::default_detail);
                let detail = problem.detail.as_deref().filter(|detail| Some(*detail) != default);
                let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
                let mut message = format!("{}: {}{detail}", problem.code, problem.title);
                for error in &problem.errors {
                    message.extend(["; ", &error.pointer, ": ", &error.detail]);
                }
                message + &request_id.as_deref().map(|id| format!(" [request {id}]")).unwrap_or_default()
            }
            Self::Refused { status, problem: None, .. } => {
                format!("the server answered {status}, and not as Claviger does")
            }
            Self::Unreachable(reason) => format!("the server cannot be reached: {reason}"),
            Self::TicketLost => {
                "the download broke off, and its ticket cannot be used again; ask for another".to_owned()
            }
            Self::AnswerTooLarge => "the server's answer is too large".to_owned(),
            Self::Unavailable(message) | Self::Other(message) => message.clone(),
            Self::Usage(lines) | Self::InvalidDocuments(lines) => lines.join("; "),
            Self::Printed => String::new(),
        }
    }
}

impl From<StartError> for CommandError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Configuration(faults) => Self::Usage(faults),
            error => Self::from_error(&error),
        }
    }
}

/// A fault as a line: the position of the document (its file, perhaps with more), the key, and what is wrong.
pub fn fault_line(position: &str, fault: &Fault) -> String {
    match fault.dotted_path() {
        dotted if dotted.is_empty() => format!("{position}: {}", fault.detail),
        dotted => format!("{position}: {dotted}: {}", fault.detail),
    }
}
