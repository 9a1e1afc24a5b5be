//! Collects the faults of a configuration, and validates the kinds of values that several sections have.

use crate::document::Fault;
use crate::model::duration;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(super) const ZERO: Duration = Duration::ZERO;
pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const HOUR: Duration = Duration::from_hours(1);
pub(super) const DAY: Duration = Duration::from_hours(24);

/// Collects faults. A method that finds a fault in a value records it and returns `None`. `pointer` is the JSON pointer of the value.
pub(super) struct FaultCollector<'a> {
    /// The folder at which relative paths start.
    folder: &'a Path,
    faults: Vec<Fault>,
}

impl<'a> FaultCollector<'a> {
    pub(super) const fn new(folder: &'a Path) -> Self {
        Self { folder, faults: Vec::new() }
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    /// Records a fault. `detail` must not contain the value, which may be a misplaced secret.
    pub(super) fn record(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.faults.push(Fault::new(pointer, detail));
    }

    /// Records a fault. Returns `None`, in place of the value that has the fault.
    pub(super) fn record_none<T>(&mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Option<T> {
        self.record(pointer, detail);
        None
    }

    /// Returns the value, or records the error as a fault.
    pub(super) fn ok_or_record<T>(&mut self, pointer: &str, result: Result<T, impl Into<String>>) -> Option<T> {
        result.map_err(|detail| self.record(pointer, detail)).ok()
    }

    /// Requires a value.
    pub(super) fn require<T>(&mut self, pointer: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.record(pointer, "must be set");
        }
        value
    }

    /// Requires each entry of a list, and validates it. Returns the entries without faults.
    pub(super) fn validate_each<R, T>(
        &mut self,
        pointer: &str,
        entries: Option<Vec<Option<R>>>,
        mut validate: impl FnMut(R, &str, &mut Self) -> Option<T>,
    ) -> Vec<T> {
        let mut valid = Vec::new();
        for (index, entry) in entries.into_iter().flatten().enumerate() {
            let pointer = format!("{pointer}/{index}");
            valid.extend(self.require(&pointer, entry).and_then(|entry| validate(entry, &pointer, self)));
        }
        valid
    }

    /// Requires a list with at least one entry.
    pub(super) fn require_entries<T>(&mut self, pointer: &str, entries: Option<&Vec<T>>, detail: &str) {
        if entries.is_none_or(Vec::is_empty) {
            self.record(pointer, detail);
        }
    }

    /// Requires each entry of a list to be a text that `parse` accepts. Returns the entries without faults.
    pub(super) fn parse_each<T>(
        &mut self,
        pointer: &str,
        entries: Option<Vec<Option<String>>>,
        parse: fn(&str) -> Result<T, &'static str>,
    ) -> Vec<T> {
        self.validate_each(pointer, entries, |text: String, pointer, faults| faults.ok_or_record(pointer, parse(&text)))
    }

    /// Requires each entry of a list to be the name of a kubernetes authenticator. `duplicate` is the fault of a second entry with
    /// the same name.
    pub(super) fn validate_cluster_names(
        &mut self,
        pointer: &str,
        names: Option<Vec<Option<String>>>,
        clusters: &[String],
        duplicate: &str,
    ) -> Vec<Arc<str>> {
        let mut known = BTreeSet::new();
        self.validate_each(pointer, names, |name, pointer, faults| {
            if !clusters.contains(&name) {
                faults.record_none(pointer, "must be the name of a kubernetes authenticator")
            } else if known.insert(name.clone()) {
                Some(name.into())
            } else {
                faults.record_none(pointer, duplicate)
            }
        })
    }

    /// Requires a text that is not blank and has no control characters.
    pub(super) fn require_text(&mut self, pointer: &str, value: Option<String>) -> Option<String> {
        let text = self.require(pointer, value)?;
        let is_valid = !text.trim().is_empty() && !text.chars().any(char::is_control);
        self.valid_or_record(pointer, text, is_valid, "must not be empty, and must not contain control characters")
    }

    /// Requires the name of one of these choices.
    pub(super) fn require_one_of<T: Copy>(
        &mut self,
        pointer: &str,
        value: Option<String>,
        choices: &[T],
        name: fn(T) -> &'static str,
    ) -> Option<T> {
        let text = self.require(pointer, value)?;
        let found = choices.iter().copied().find(|choice| name(*choice) == text);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|choice| name(*choice)).collect();
            self.record(pointer, format!("must be one of {}", names.join(", ")));
        }
        found
    }

    /// Requires a text that `parse` accepts.
    pub(super) fn require_parsed<T>(
        &mut self,
        pointer: &str,
        value: Option<String>,
        parse: impl FnOnce(String) -> Result<T, &'static str>,
    ) -> Option<T> {
        let text = self.require(pointer, value)?;
        self.ok_or_record(pointer, parse(text))
    }

    /// Returns the value if it is valid, and records a fault otherwise.
    pub(super) fn valid_or_record<T>(&mut self, pointer: &str, value: T, is_valid: bool, detail: &str) -> Option<T> {
        self.ok_or_record(pointer, if is_valid { Ok(value) } else { Err(detail) })
    }

    /// Requires the name of an entry: an RFC 1123 label that is not in `taken`.
    pub(super) fn require_name(
        &mut self,
        pointer: &str,
        value: Option<String>,
        taken: &[Arc<str>],
    ) -> Option<Arc<str>> {
        let name = self.require(pointer, value)?;
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=63).contains(&name.len()) || !name.bytes().all(inner) || name.starts_with('-') || name.ends_with('-') {
            return self.record_none(
                pointer,
                "must be at most 63 lower-case letters, digits and hyphens, and no hyphen at either end",
            );
        }
        let is_free = taken.iter().all(|other| **other != *name);
        self.valid_or_record(pointer, name.into(), is_free, "is the name of another entry")
    }

    /// Requires a duration within bounds.
    pub(super) fn require_duration(
        &mut self,
        pointer: &str,
        value: Option<String>,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let text = self.require(pointer, value)?;
        let duration = self.ok_or_record(pointer, duration::parse(&text).map_err(|error| error.to_string()))?;
        let [min, max] = [bounds.start(), bounds.end()].map(|bound| format_duration(*bound));
        let detail = format!("must be between {min} and {max}");
        self.valid_or_record(pointer, duration, bounds.contains(&duration), &detail)
    }

    /// Requires a whole number within bounds.
    pub(super) fn require_number(
        &mut self,
        pointer: &str,
        value: Option<u64>,
        bounds: RangeInclusive<u64>,
    ) -> Option<u64> {
        let number = self.require(pointer, value)?;
        let detail = format!("must be between {} and {}", bounds.start(), bounds.end());
        self.valid_or_record(pointer, number, bounds.contains(&number), &detail)
    }

    /// Requires a path. A relative path starts at the folder of the configuration.
    pub(super) fn require_path(&mut self, pointer: &str, value: Option<String>) -> Option<PathBuf> {
        let text = self.require_text(pointer, value)?;
        Some(self.folder.join(text))
    }

    /// Requires a file that exists and is readable.
    pub(super) fn require_file(&mut self, pointer: &str, value: Option<String>) -> Option<PathBuf> {
        let path = self.require_path(pointer, value)?;
        let readable = match fs::metadata(&path) {
            Ok(found) if found.is_dir() => Err("is a directory and not a file"),
            // Other files are not opened: opening a FIFO would block until it has a writer.
            Ok(found) if found.is_file() => File::open(&path).map(|_| ()).map_err(|_| "the file cannot be read"),
            Ok(_) => Ok(()),
            Err(_) => Err("there is no such file"),
        };
        self.ok_or_record(pointer, readable)?;
        Some(path)
    }

    /// Validates a file if one is set.
    pub(super) fn optional_file(&mut self, pointer: &str, value: Option<String>) -> Option<PathBuf> {
        if value.is_some() { self.require_file(pointer, value) } else { None }
    }

    /// Validates a directory if one is set.
    pub(super) fn optional_directory(&mut self, pointer: &str, value: Option<String>) -> Option<PathBuf> {
        let path = self.require_path(pointer, Some(value?))?;
        let is_directory = path.is_dir();
        self.valid_or_record(pointer, path, is_directory, "there is no such directory")
    }
}

/// Formats a duration with the largest unit that divides it.
fn format_duration(duration: Duration) -> String {
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
    fn durations_are_formatted_with_the_largest_unit() {
        for (duration, text) in
            [(ZERO, "0s"), (MILLISECOND, "1ms"), (SECOND * 90, "90s"), (MINUTE * 2, "2m"), (DAY, "24h")]
        {
            assert_eq!(format_duration(duration), text);
        }
    }

    #[test]
    fn a_name_is_an_rfc_1123_label_and_unique() {
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
            let mut faults = FaultCollector::new(Path::new(""));
            assert_eq!(faults.require_name("/name", Some(name.to_owned()), &taken).is_some(), good, "{name:?}");
            assert_eq!(faults.into_faults().is_empty(), good, "{name:?}");
        }
    }
}
