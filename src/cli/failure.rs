//! Failures of commands that call a server: the message and the exit code.

use super::printable::printable;
use crate::document::Fault;
use crate::wire::problem::Problem;
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
pub enum Failure {
    /// Errors of the command line or of files, one per line.
    Usage(Vec<String>),
    /// The server refused; `problem` is set if the body is Claviger's.
    Refused {
        status: u16,
        problem: Option<Box<Problem>>,
        /// Request id in the server's log and audit log.
        request_id: Option<String>,
    },
    /// Faults of documents that the server found, one per line.
    Invalid(Vec<String>),
    /// No response.
    Unreachable(&'static str),
    /// The answer to a download was lost, and the ticket was redeemed by that or ended otherwise.
    TicketLost,
    /// Another service than the server is unavailable.
    Unavailable(String),
    /// Another error.
    Failed(String),
    /// The error was printed already.
    Told,
}

impl Failure {
    /// One error of the command line or of a file.
    pub fn usage(line: impl Into<String>) -> Self {
        Self::Usage(vec![line.into()])
    }

    /// Faults of a document.
    pub fn faults(place: &str, faults: &[Fault]) -> Self {
        Self::Usage(faults.iter().map(|fault| fault_line(place, fault)).collect())
    }

    /// Whether the server answered `404`.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, problem: Some(_), .. })
    }

    /// The exit code.
    const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Refused { status: 401 | 403, .. } => DENIED,
            // Claviger's own 502 means a wrong configuration, and a retry does not help.
            Self::Refused { status: 502, problem: Some(_), .. } => FAILED,
            Self::Refused { status: 429 | 502..=504, .. } | Self::Unreachable(_) | Self::Unavailable(_) => UNAVAILABLE,
            Self::Refused { .. } | Self::Invalid(_) | Self::TicketLost | Self::Failed(_) | Self::Told => FAILED,
        }
    }

    /// Prints the error on standard error, and returns the exit code.
    pub fn print_and_code(&self) -> ExitCode {
        match self {
            Self::Usage(lines) | Self::Invalid(lines) => lines.iter().for_each(|line| eprintln!("{}", printable(line))),
            Self::Told => {}
            other => eprintln!("claviger: {}", printable(&other.sentence())),
        }
        ExitCode::from(self.code())
    }

    fn sentence(&self) -> String {
        match self {
            Self::Refused { problem: Some(problem), request_id, .. } => {
                let detail = problem.detail.as_deref().filter(|detail| *detail != problem.title);
                let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
                let mut sentence = format!("{}: {}{detail}", problem.code, problem.title);
                for error in &problem.errors {
                    sentence.extend(["; ", &error.pointer, ": ", &error.detail]);
                }
                sentence + &request_id.as_deref().map(|id| format!(" [request {id}]")).unwrap_or_default()
            }
            Self::Refused { status, problem: None, .. } => {
                format!("the server answered {status}, and not as Claviger does")
            }
            Self::Unreachable(reason) => format!("the server cannot be reached: {reason}"),
            Self::TicketLost => {
                "the download broke off, and its ticket cannot be used again; ask for another".to_owned()
            }
            Self::Unavailable(sentence) | Self::Failed(sentence) => sentence.clone(),
            Self::Usage(lines) | Self::Invalid(lines) => lines.join("; "),
            Self::Told => String::new(),
        }
    }
}

/// A fault with its position, as a line.
pub fn fault_line(place: &str, fault: &Fault) -> String {
    match fault.dotted() {
        dotted if dotted.is_empty() => format!("{place}: {}", fault.detail),
        dotted => format!("{place}: {dotted}: {}", fault.detail),
    }
}
