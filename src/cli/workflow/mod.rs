//! Passes masks, warnings, variables and outputs to the runner of a GitHub Actions job.

mod ci_variable;
mod masks;
mod step_files;

pub use ci_variable::ci_variable;
pub use step_files::StepFiles;

use super::bundle::Values;
use super::command_error::CommandError;
use super::terminal::escape_for_terminal;
use crate::model::secret::SecretValue;
use std::io::{self, Write as _};
use zeroize::Zeroizing;

/// The stream for workflow commands. The runner reads both streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunnerStream {
    /// Standard output, where commands take effect before later output.
    Stdout,
    /// Standard error, if standard output is the bundle, or belongs to the command that `exec` runs.
    Stderr,
}

impl RunnerStream {
    /// Masks a token.
    #[expect(clippy::disallowed_methods, reason = "the runner needs the value to mask it")]
    pub fn mask_token(self, token: &SecretValue) -> Result<(), CommandError> {
        self.write(&format_command("add-mask", token.expose_secret()))
    }

    /// Masks the lines of all values. Warns of values without a line that can be masked.
    pub fn mask(self, values: &Values) -> Result<(), CommandError> {
        let mut text = Zeroizing::new(String::new());
        let mut warnings = String::new();
        for (name, value) in values {
            #[expect(clippy::disallowed_methods, reason = "the runner needs the value to mask it")]
            let value = value.expose_secret();
            let before = text.len();
            for line in masks::maskable_lines(value) {
                text.push_str(&format_command("add-mask", line));
            }
            if text.len() == before && !value.is_empty() {
                let warning = format!(
                    "claviger: {} is not masked: no line of its value has {} characters with a letter or digit among them",
                    escape_for_terminal(name),
                    masks::MIN_MASKED_CHARS
                );
                warnings.push_str(&format_command("warning", &warning));
            }
        }
        text.push_str(&warnings);
        self.write(&text)
    }

    /// Writes workflow commands. An error must end this process, because values would not be masked.
    fn write(self, text: &str) -> Result<(), CommandError> {
        let written = match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            }
            Self::Stderr => io::stderr().lock().write_all(text.as_bytes()),
        };
        written
            .map_err(|error| CommandError::Other(format!("the runner cannot be told what to mask: {}", error.kind())))
    }
}

/// Formats a workflow command as a line, escaped as the runner expects it.
fn format_command(name: &str, data: &str) -> Zeroizing<String> {
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
    fn data_is_escaped_as_the_runner_expects_it() {
        assert_eq!(*format_command("add-mask", "a%0Ab\r\n::x::é"), "::add-mask::a%250Ab%0D%0A::x::é\n");
        assert_eq!(*format_command("add-mask", " a "), "::add-mask:: a \n");
    }
}
