//! What a job of GitHub Actions tells its runner: masks and warnings as lines of output, variables and outputs in files.

mod environment_file;
mod masks;
mod variable;

pub use environment_file::EnvironmentFile;
pub use variable::variable;

use super::bundle::Values;
use super::failure::Failure;
use super::printable::printable;
use crate::model::secret::SecretValue;
use std::io::{self, Write as _};
use zeroize::Zeroizing;

/// The stream for lines to the runner. It reads both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commands {
    /// Standard output, which the step's later output follows in order.
    Stdout,
    /// Standard error, where standard output is the bundle or belongs to another command.
    Stderr,
}

impl Commands {
    /// Masks a token.
    #[expect(clippy::disallowed_methods, reason = "the runner masks what it is told")]
    pub fn mask_token(self, token: &SecretValue) -> Result<(), Failure> {
        self.write(&command("add-mask", token.expose_secret()))
    }

    /// Masks all lines of all values that can be masked, and names the keys of values that cannot.
    pub fn mask(self, values: &Values) -> Result<(), Failure> {
        let mut text = Zeroizing::new(String::new());
        let mut warnings = String::new();
        for (name, value) in values {
            #[expect(clippy::disallowed_methods, reason = "the runner masks what it is told")]
            let value = value.expose_secret();
            let before = text.len();
            for line in masks::lines(value) {
                text.push_str(&command("add-mask", line));
            }
            if text.len() == before && !value.is_empty() {
                let warning = format!(
                    "claviger: {} is not masked: no line of its value has {} characters with a letter or digit among them",
                    printable(name),
                    masks::MIN_MASKED_CHARS
                );
                warnings.push_str(&command("warning", &warning));
            }
        }
        text.push_str(&warnings);
        self.write(&text)
    }

    /// A failed write is an error: what follows would be shown.
    fn write(self, text: &str) -> Result<(), Failure> {
        let written = match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            }
            Self::Stderr => io::stderr().lock().write_all(text.as_bytes()),
        };
        written.map_err(|error| Failure::Failed(format!("the runner cannot be told what to mask: {}", error.kind())))
    }
}

/// A line of a workflow command, escaped as the runner reads it.
fn command(name: &str, data: &str) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(data.len() + 32));
    line.extend(["::", name, "::"]);
    for c in data.chars() {
        match c {
            '%' => line.push_str("%25"),
            '\r' => line.push_str("%0D"),
            '\n' => line.push_str("%0A"),
            c => line.push(c),
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_escaped_as_the_runner_reads_it() {
        assert_eq!(*command("add-mask", "a%0Ab\r\n::x::é"), "::add-mask::a%250Ab%0D%0A::x::é\n");
        assert_eq!(*command("add-mask", " a "), "::add-mask:: a \n");
    }
}
