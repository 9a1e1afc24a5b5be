//! The purpose of a file in a policy directory, by its name.

use std::ffi::OsStr;
use std::path::Path;

/// The purpose of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// `*.yaml`, `*.yml`: policies.
    Policies,
    /// `*.test.yaml`, `*.test.yml`: test cases for policies; no server reads them.
    Tests,
}

impl FileKind {
    /// The kind of a file with this name. Hidden files have none: a mounted `ConfigMap` keeps its versions there.
    #[must_use]
    pub fn of(name: &OsStr) -> Option<Self> {
        if name.as_encoded_bytes().starts_with(b".") {
            return None;
        }
        let path = Path::new(name);
        path.extension().filter(|extension| *extension == "yaml" || *extension == "yml")?;
        let is_test =
            path.file_stem().is_some_and(|stem| Path::new(stem).extension().is_some_and(|word| word == "test"));
        Some(if is_test { Self::Tests } else { Self::Policies })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_policies_from_their_tests() {
        for (name, kind) in [
            ("a.yaml", Some(FileKind::Policies)),
            ("a.yml", Some(FileKind::Policies)),
            ("test.yaml", Some(FileKind::Policies)),
            ("a.tests.yaml", Some(FileKind::Policies)),
            ("a.test.yaml", Some(FileKind::Tests)),
            ("a.b.test.yml", Some(FileKind::Tests)),
            (".a.yaml", None),
            (".test.yaml", None),
            ("a.test", None),
            ("a.YAML", None),
            ("yaml", None),
        ] {
            assert_eq!(FileKind::of(OsStr::new(name)), kind, "{name}");
        }
    }
}
