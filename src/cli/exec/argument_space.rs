//! Checks that variables fit into the space that Linux has for arguments and environment (`fs/exec.c`).
//!
//! One string may take 32 pages (`MAX_ARG_STRLEN`). All strings together, with a pointer for each, may take a quarter of the
//! stack limit, but never less than 128 KiB or more than 6 MiB. If a limit is exceeded, `execve` fails with `E2BIG`, which does
//! not name the variable.

use crate::cli::command_error::CommandError;
use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

const MIN_TOTAL_BYTES: usize = 128 * 1024;
const MAX_TOTAL_BYTES: usize = 6 * 1024 * 1024;
const POINTER_BYTES: usize = size_of::<usize>();
/// Reserved for what the kernel adds: twice the path of the command (at most 4 KiB each), and the `#!` line of a script.
const RESERVED_BYTES: usize = 3 * 4096;

/// The space for the variables of a bundle.
pub struct ArgumentSpace {
    max_string_bytes: usize,
    max_total_bytes: usize,
    /// The names of the variables that the command inherits, with the space that each takes.
    inherited: BTreeMap<Vec<u8>, usize>,
}

impl ArgumentSpace {
    /// The space of a command that inherits the environment of this process without these variables.
    #[expect(
        clippy::disallowed_methods,
        reason = "the lengths of what the command inherits are needed, not the values"
    )]
    pub fn for_command(command: &[OsString], removed: &[&str]) -> Self {
        let stack = getrlimit(Resource::Stack).current.and_then(|bytes| usize::try_from(bytes / 4).ok());
        let inherited = std::env::vars_os()
            .filter(|(name, _)| !removed.iter().any(|removed| name == removed))
            .map(|(name, value)| (name.as_bytes().to_vec(), string_space(name.len() + 1 + value.len())))
            .collect();
        let arguments: usize = command.iter().map(|argument| string_space(argument.len())).sum();
        let total = stack.unwrap_or(MAX_TOTAL_BYTES).clamp(MIN_TOTAL_BYTES, MAX_TOTAL_BYTES);
        Self {
            max_string_bytes: 32 * page_size(),
            max_total_bytes: total.saturating_sub(arguments + RESERVED_BYTES),
            inherited,
        }
    }

    /// Checks variables, given as name and length of the value, together with the inherited ones. The error names a variable
    /// that is too long, or else the largest of the given ones. Without variables there is no error.
    pub fn check<'a>(&self, variables: impl Iterator<Item = (&'a str, usize)>) -> Result<(), CommandError> {
        let mut all = self.inherited.clone();
        let mut largest = ("", 0);
        for (name, length) in variables {
            // `NAME=value` and NUL.
            let string_bytes = name.len() + 1 + length + 1;
            if string_bytes > self.max_string_bytes {
                return Err(CommandError::Other(format!(
                    "{name} is too long for a variable: {string_bytes} bytes with its name, at most {}; use --file {name}=PATH",
                    self.max_string_bytes
                )));
            }
            if string_bytes > largest.1 {
                largest = (name, string_bytes);
            }
            all.insert(name.as_bytes().to_vec(), string_space(string_bytes - 1));
        }
        let total: usize = all.values().sum();
        if largest.1 == 0 || total <= self.max_total_bytes {
            return Ok(());
        }
        let name = largest.0;
        Err(CommandError::Other(format!(
            "the environment is too large: {total} bytes, at most {}; {name} takes the most; use --file {name}=PATH or --only",
            self.max_total_bytes
        )))
    }
}

/// The space of a string in bytes, with a pointer and with NUL, which `length` does not count.
const fn string_space(length: usize) -> usize {
    length + 1 + POINTER_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(total: usize, inherited: &[(&str, usize)]) -> ArgumentSpace {
        let inherited =
            inherited.iter().map(|(name, size)| (name.as_bytes().to_vec(), string_space(name.len() + 1 + size)));
        ArgumentSpace { max_string_bytes: 131_072, max_total_bytes: total, inherited: inherited.collect() }
    }

    fn message(result: Result<(), CommandError>) -> Option<String> {
        match result {
            Ok(()) => None,
            Err(CommandError::Other(sentence)) => Some(sentence),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn variable_may_have_32_pages_with_its_name_and_nul() {
        let space = space(MAX_TOTAL_BYTES, &[]);
        assert_eq!(message(space.check([("NAME", 131_072 - 6)].into_iter())), None);
        let refused = message(space.check([("A", 1), ("NAME", 131_072 - 5)].into_iter())).expect("one byte too many");
        assert!(refused.starts_with("NAME is too long for a variable: 131073 bytes"), "{refused}");
    }

    #[test]
    fn all_variables_share_the_total_space() {
        let space = space(MIN_TOTAL_BYTES, &[("PATH", 50_000), ("BIG", 60_000)]);
        assert_eq!(message(space.check([("BIG", 70_000)].into_iter())), None, "it replaces the inherited one");
        let refused = message(space.check([("A", 1), ("OTHER", 70_000)].into_iter())).expect("too much");
        assert!(refused.contains("OTHER takes the most"), "{refused}");
        assert_eq!(message(space.check(std::iter::empty())), None, "nothing is checked without variables of a bundle");
    }
}
