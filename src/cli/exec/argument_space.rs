//! The space that Linux gives a command for its arguments and environment (`fs/exec.c`).
//!
//! One string has at most 32 pages (`MAX_ARG_STRLEN`). All strings, with a pointer for each, have a quarter of the stack's
//! limit, at least 128 KiB and at most 6 MiB. Beyond that `execve` fails with `E2BIG`, which names no variable.

use crate::cli::failure::Failure;
use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

const LEAST: usize = 128 * 1024;
const MOST: usize = 6 * 1024 * 1024;
const POINTER: usize = size_of::<usize>();
/// For what the kernel adds: the path of the command (4 KiB at most), twice, and the line of an interpreter.
const RESERVE: usize = 3 * 4096;

/// The space left for the variables of a bundle.
pub struct ArgumentSpace {
    string: usize,
    total: usize,
    inherited: BTreeMap<Vec<u8>, usize>,
}

impl ArgumentSpace {
    /// The space for a command that inherits the environment of this process except some variables.
    #[expect(
        clippy::disallowed_methods,
        reason = "the lengths of what the command inherits are needed, not the values"
    )]
    pub fn here(command: &[OsString], removed: &[&str]) -> Self {
        let stack = getrlimit(Resource::Stack).current.and_then(|bytes| usize::try_from(bytes / 4).ok());
        let inherited = std::env::vars_os()
            .filter(|(name, _)| !removed.iter().any(|removed| name == removed))
            .map(|(name, value)| (name.as_bytes().to_vec(), taken(name.len() + 1 + value.len())))
            .collect();
        let arguments: usize = command.iter().map(|argument| taken(argument.len())).sum();
        let total = stack.unwrap_or(MOST).clamp(LEAST, MOST);
        Self { string: 32 * page_size(), total: total.saturating_sub(arguments + RESERVE), inherited }
    }

    /// Names a variable that does not fit, or the largest one if they do not fit together.
    pub fn fits<'a>(&self, variables: impl Iterator<Item = (&'a str, usize)>) -> Result<(), Failure> {
        let mut all = self.inherited.clone();
        let mut largest = ("", 0);
        for (name, value) in variables {
            let string = name.len() + 1 + value + 1;
            if string > self.string {
                return Err(Failure::Failed(format!(
                    "{name} is too long for a variable: {string} bytes with its name, at most {}; use --file {name}=PATH",
                    self.string
                )));
            }
            if string > largest.1 {
                largest = (name, string);
            }
            all.insert(name.as_bytes().to_vec(), taken(string - 1));
        }
        let total: usize = all.values().sum();
        if largest.1 == 0 || total <= self.total {
            return Ok(());
        }
        let name = largest.0;
        Err(Failure::Failed(format!(
            "the environment is too large: {total} bytes, at most {}; {name} takes the most; use --file {name}=PATH or --only",
            self.total
        )))
    }
}

/// The space of a string: its bytes, NUL, and a pointer.
const fn taken(length: usize) -> usize {
    length + 1 + POINTER
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(total: usize, inherited: &[(&str, usize)]) -> ArgumentSpace {
        let inherited = inherited.iter().map(|(name, size)| (name.as_bytes().to_vec(), taken(name.len() + 1 + size)));
        ArgumentSpace { string: 131_072, total, inherited: inherited.collect() }
    }

    fn said(fits: Result<(), Failure>) -> Option<String> {
        match fits {
            Ok(()) => None,
            Err(Failure::Failed(sentence)) => Some(sentence),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_variable_has_32_pages_with_its_name_and_nul() {
        let space = space(MOST, &[]);
        assert_eq!(said(space.fits([("NAME", 131_072 - 6)].into_iter())), None);
        let refused = said(space.fits([("A", 1), ("NAME", 131_072 - 5)].into_iter())).expect("one byte too many");
        assert!(refused.starts_with("NAME is too long for a variable: 131073 bytes"), "{refused}");
    }

    #[test]
    fn all_variables_share_one_space() {
        let space = space(LEAST, &[("PATH", 50_000), ("BIG", 60_000)]);
        assert_eq!(said(space.fits([("BIG", 70_000)].into_iter())), None, "it replaces the inherited one");
        let refused = said(space.fits([("A", 1), ("OTHER", 70_000)].into_iter())).expect("too much");
        assert!(refused.contains("OTHER takes the most"), "{refused}");
        assert_eq!(said(space.fits(std::iter::empty())), None, "what is inherited is the command's own affair");
    }
}
