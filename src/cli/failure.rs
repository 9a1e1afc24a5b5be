//! How a command that calls a server fails: what it says, and its exit code.

use super::printable::printable;
use crate::document::Fault;
use crate::wire::problem::Problem;
use std::process::ExitCode;

/// Something failed at the server, or a case did.
const FAILED: u8 = 1;
/// The command line or a file is wrong.
const USAGE: u8 = 2;
/// The server says no to whoever asks.
const DENIED: u8 = 3;
/// The server cannot be reached, or cannot answer now.
const UNAVAILABLE: u8 = 4;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The command line or files are wrong, in these ways.
    Usage(Vec<String>),
    /// The server refused, with a problem where it is one of ours.
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it says.
        problem: Option<Box<Problem>>,
        /// Under which id it is in the server's log and audit.
        request_id: Option<String>,
    },
    /// The server finds documents wrong, in these ways.
    Invalid(Vec<String>),
    /// No answer came.
    Unreachable(&'static str),
    /// Something else.
    Failed(String),
    /// It has been told already.
    Told,
}

impl Failure {
    /// A wrong command line or file, in one way.
    pub fn usage(line: impl Into<String>) -> Self {
        Self::Usage(vec![line.into()])
    }

    /// Faults of a document.
    pub fn faults(place: &str, faults: &[Fault]) -> Self {
        Self::Usage(faults.iter().map(|fault| fault_line(place, fault)).collect())
    }

    /// Whether the server says that there is no such thing.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, problem: Some(_), .. })
    }

    /// The exit code.
    const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Refused { status: 401 | 403, .. } => DENIED,
            // Our own 502 says that something is configured wrongly, and waiting does not help.
            Self::Refused { status: 502, problem: Some(_), .. } => FAILED,
            Self::Refused { status: 429 | 502..=504, .. } | Self::Unreachable(_) => UNAVAILABLE,
            Self::Refused { .. } | Self::Invalid(_) | Self::Failed(_) | Self::Told => FAILED,
        }
    }

    /// Says what is wrong on standard error, and gives the exit code.
    pub fn tell(&self) -> ExitCode {
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
            Self::Failed(sentence) => sentence.clone(),
            Self::Usage(lines) | Self::Invalid(lines) => lines.join("; "),
            Self::Told => String::new(),
        }
    }
}

/// A fault with its place, as a line.
pub fn fault_line(place: &str, fault: &Fault) -> String {
    match fault.dotted() {
        dotted if dotted.is_empty() => format!("{place}: {}", fault.detail),
        dotted => format!("{place}: {dotted}: {}", fault.detail),
    }
}
