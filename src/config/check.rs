//! Collects all faults of a configuration, and checks values that several sections share.

use crate::document::Fault;
use crate::model::duration;
use std::fs::{self, File};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(super) const NOTHING: Duration = Duration::ZERO;
pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const HOUR: Duration = Duration::from_hours(1);
pub(super) const DAY: Duration = Duration::from_hours(24);

/// Collects faults. A check that finds one records it here and returns `None`. `at` is always the JSON pointer of
/// the value.
pub(super) struct Check<'a> {
    /// The base of relative paths.
    folder: &'a Path,
    faults: Vec<Fault>,
}

impl<'a> Check<'a> {
    pub(super) const fn new(folder: &'a Path) -> Self {
        Self { folder, faults: Vec::new() }
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    /// Records a fault. The detail never repeats a value: it may be a secret in the wrong place.
    pub(super) fn fault(&mut self, at: impl Into<String>, detail: impl Into<String>) {
        self.faults.push(Fault::new(at, detail));
    }

    /// Records the fault if there is one.
    pub(super) fn noted<T>(&mut self, at: &str, result: Result<T, impl Into<String>>) -> Option<T> {
        result.map_err(|detail| self.fault(at, detail)).ok()
    }

    /// A required value.
    pub(super) fn required<T>(&mut self, at: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.fault(at, "must be set");
        }
        value
    }

    /// A required string.
    pub(super) fn text(&mut self, at: &str, value: Option<String>) -> Option<String> {
        let text = self.required(at, value)?;
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            self.fault(at, "must not be empty, and must not contain control characters");
            return None;
        }
        Some(text)
    }

    /// One value of a closed set.
    pub(super) fn word<T: Copy>(&mut self, at: &str, value: Option<String>, words: &[(&str, T)]) -> Option<T> {
        let text = self.required(at, value)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.fault(at, format!("must be one of {}", words.join(", ")));
        }
        found
    }

    /// The name of an entry: an RFC 1123 label, different from the names before it.
    pub(super) fn name(&mut self, at: &str, value: Option<String>, taken: &[Arc<str>]) -> Option<Arc<str>> {
        let name = self.required(at, value)?;
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=63).contains(&name.len()) || !name.bytes().all(inner) || name.starts_with('-') || name.ends_with('-') {
            self.fault(at, "must be at most 63 lower-case letters, digits and hyphens, and no hyphen at either end");
            return None;
        }
        if taken.iter().any(|other| **other == *name) {
            self.fault(at, "is the name of another entry");
            return None;
        }
        Some(name.into())
    }

    /// A duration within bounds.
    pub(super) fn duration(
        &mut self,
        at: &str,
        value: Option<String>,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let text = self.required(at, value)?;
        let duration = self.noted(at, duration::parse(&text).map_err(|error| error.to_string()))?;
        if !bounds.contains(&duration) {
            self.fault(at, format!("must be between {} and {}", words(*bounds.start()), words(*bounds.end())));
            return None;
        }
        Some(duration)
    }

    /// A whole number within bounds.
    pub(super) fn number(&mut self, at: &str, value: Option<u64>, bounds: RangeInclusive<u64>) -> Option<u64> {
        let number = self.required(at, value)?;
        if !bounds.contains(&number) {
            self.fault(at, format!("must be between {} and {}", bounds.start(), bounds.end()));
            return None;
        }
        Some(number)
    }

    /// A path; a relative one starts at the configuration's folder.
    pub(super) fn path(&mut self, at: &str, value: Option<String>) -> Option<PathBuf> {
        let text = self.text(at, value)?;
        Some(self.folder.join(text))
    }

    /// A required file; it must exist and be readable.
    pub(super) fn file(&mut self, at: &str, value: Option<String>) -> Option<PathBuf> {
        let path = self.path(at, value)?;
        let readable = match fs::metadata(&path) {
            Ok(found) if found.is_dir() => Err("is a directory and not a file"),
            // Opens regular files only: opening a FIFO blocks until it has a writer.
            Ok(found) if found.is_file() => File::open(&path).map(|_| ()).map_err(|_| "the file cannot be read"),
            Ok(_) => Ok(()),
            Err(_) => Err("there is no such file"),
        };
        self.noted(at, readable)?;
        Some(path)
    }

    /// An optional file.
    pub(super) fn file_if_set(&mut self, at: &str, value: Option<String>) -> Option<PathBuf> {
        if value.is_some() { self.file(at, value) } else { None }
    }

    /// An optional directory.
    pub(super) fn directory_if_set(&mut self, at: &str, value: Option<String>) -> Option<PathBuf> {
        let path = self.path(at, Some(value?))?;
        if !path.is_dir() {
            self.fault(at, "there is no such directory");
            return None;
        }
        Some(path)
    }
}

/// A duration in the usual notation, with the largest unit that divides it.
fn words(duration: Duration) -> String {
    let millis = duration.as_millis();
    match [(3_600_000, "h"), (60_000, "m"), (1_000, "s")].into_iter().find(|(unit, _)| millis.is_multiple_of(*unit)) {
        Some(_) if millis == 0 => "0s".into(),
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_as_people_write_them() {
        for (duration, text) in
            [(NOTHING, "0s"), (MILLISECOND, "1ms"), (SECOND * 90, "90s"), (MINUTE * 2, "2m"), (DAY, "24h")]
        {
            assert_eq!(words(duration), text);
        }
    }

    #[test]
    fn a_name_is_a_label_and_distinct() {
        let taken: [Arc<str>; 1] = ["vault".into()];
        for (name, good) in [
            ("a", true),
            ("a-1", true),
            ("1", true),
            ("vault2", true),
            (&*"a".repeat(63), true),
            ("vault", false),
            ("", false),
            ("A", false),
            ("-a", false),
            ("a-", false),
            ("a.b", false),
            ("a_b", false),
            ("é", false),
            ("a\n", false),
            (&*"a".repeat(64), false),
        ] {
            let mut check = Check::new(Path::new(""));
            assert_eq!(check.name("/name", Some(name.to_owned()), &taken).is_some(), good, "{name:?}");
            assert_eq!(check.into_faults().is_empty(), good, "{name:?}");
        }
    }
}
