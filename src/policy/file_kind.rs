//! What the name of a file in a directory of policies says.

use std::ffi::OsStr;
use std::path::Path;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// `*.yaml`, `*.yml`: policies.
    Policies,
    /// `*.test.yaml`, `*.test.yml`: cases that policies are tested with, which no server reads.
    Tests,
}

impl FileKind {
    /// The kind of a file of this name. Hidden ones are nothing: a mounted `ConfigMap` keeps its versions there.
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
