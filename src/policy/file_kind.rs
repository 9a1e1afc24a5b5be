//! The kind of a file in a policy directory, by its name: policies or test cases.

use std::ffi::OsStr;
use std::path::Path;

/// The purpose of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// `*.yaml`, `*.yml`: policies.
    Policies,
    /// `*.test.yaml`, `*.test.yml`: test cases for policies. The server does not read them.
    Tests,
}

impl FileKind {
    /// The kind of a file with this name. `None` for other files and for hidden ones: a mounted `ConfigMap` has its versions in
    /// hidden directories.
    #[must_use]
    pub fn from_file_name(name: &OsStr) -> Option<Self> {
        if name.as_encoded_bytes().starts_with(b".") {
            return None;
        }
        let path = Path::new(name);
        path.extension().filter(|extension| *extension == "yaml" || *extension == "yml")?;
        let is_test =
            path.file_stem().is_some_and(|stem| Path::new(stem).extension().is_some_and(|inner| inner == "test"));
        Some(if is_test { Self::Tests } else { Self::Policies })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_determine_the_kind() {
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
            assert_eq!(FileKind::from_file_name(OsStr::new(name)), kind, "{name}");
        }
    }
}
