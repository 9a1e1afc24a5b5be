//! Converts a downloaded bundle to the files of a volume. There is always at least one file, because a driver that gets none
//! keeps the old files.

use super::attributes::{Layout, is_valid_name};
use super::mount_error::MountError;
use super::proto::File;
use crate::cli::atomic_file::Mode;
use crate::cli::bundle::tar;
use zeroize::Zeroizing;

/// Name of the only file for an empty bundle in the layout [`Layout::FilePerKey`]. In a shell, `*` does not match the name.
pub const EMPTY_MARKER: &str = ".claviger-empty";

/// Converts a bundle with this number of keys. Fails if an archive is damaged or has another number of files, or if a key
/// cannot be the name of a file.
pub fn from_bundle(layout: &Layout, mode: Mode, bundle: &[u8], key_count: usize) -> Result<Vec<File>, MountError> {
    // The bits are at most 0o777, so the cast keeps them.
    let mode = mode.bits().cast_signed();
    match layout {
        Layout::SingleFile { path, .. } => Ok(vec![File { path: path.clone(), mode, contents: bundle.to_vec() }]),
        Layout::FilePerKey => {
            let files = tar::unpack(bundle)
                .filter(|files| files.len() == key_count)
                .ok_or_else(MountError::unexpected_answer)?;
            if !files.iter().all(|(name, _)| is_valid_name(name)) {
                return Err(MountError::unrenderable());
            }
            if files.is_empty() {
                return Ok(vec![File { path: EMPTY_MARKER.into(), mode, contents: Vec::new() }]);
            }
            let file = |(path, mut contents): (String, Zeroizing<Vec<u8>>)| File {
                path,
                mode,
                contents: std::mem::take(&mut *contents),
            };
            Ok(files.into_iter().map(file).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bundle::{Bundle, Entry};
    use crate::model::format::Format;
    use crate::model::secret::SecretValue;
    use crate::render::render;

    fn archive(values: &[(&str, &str)]) -> Vec<u8> {
        let entry =
            |value: &str| Entry { value: SecretValue::new(value.into()), named_by_policy: false, is_base64: false };
        let entries = values.iter().map(|(name, value)| ((*name).to_owned(), entry(value))).collect();
        let bundle = Bundle { entries, ..Bundle::default() };
        render(&bundle, &Format::Tar.into()).expect("renderable").bytes.to_vec()
    }

    fn to_tuples(files: Vec<File>) -> Vec<(String, i32, Vec<u8>)> {
        files.into_iter().map(|file| (file.path, file.mode, file.contents)).collect()
    }

    fn convert(layout: &Layout, bundle: &[u8], key_count: usize) -> Result<Vec<(String, i32, Vec<u8>)>, String> {
        let mode = "0440".parse().expect("a mode");
        from_bundle(layout, mode, bundle, key_count).map(to_tuples).map_err(|error| error.text("r"))
    }

    #[test]
    fn each_key_becomes_a_file() {
        let values = [("A", "one\n"), ("B", ""), ("C.pem", "-----\nö\n")];
        let files = values.map(|(name, value)| (name.to_owned(), 0o440, value.as_bytes().to_vec())).to_vec();
        assert_eq!(convert(&Layout::FilePerKey, &archive(&values), 3), Ok(files));
    }

    #[test]
    fn empty_bundle_becomes_one_empty_file() {
        let marker = vec![(EMPTY_MARKER.to_owned(), 0o440, Vec::new())];
        assert_eq!(convert(&Layout::FilePerKey, &archive(&[]), 0), Ok(marker));
        let single = Layout::SingleFile { path: "etc/env".into(), format: Format::Export };
        assert_eq!(convert(&single, b"", 0), Ok(vec![("etc/env".to_owned(), 0o440, Vec::new())]));
    }

    #[test]
    fn damaged_archive_and_refused_name_are_errors() {
        let good = archive(&[("A", &"x".repeat(600))]);
        for bad in [&good[..100], &good[..1024], b"hunter2", b""] {
            assert!(
                convert(&Layout::FilePerKey, bad, 1).is_err_and(|why| why.starts_with("unexpected_answer")),
                "{bad:?}"
            );
        }
        assert!(convert(&Layout::FilePerKey, &good, 2).is_err(), "a key is missing");
        assert!(convert(&Layout::FilePerKey, &good, 0).is_err(), "there is a file without a key");
        let why = convert(&Layout::FilePerKey, &archive(&[("..data", "x")]), 1);
        assert!(why.as_ref().is_err_and(|why| why.starts_with("unrenderable")), "{why:?}");
    }
}
