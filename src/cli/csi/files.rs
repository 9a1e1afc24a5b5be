//! The files of a volume, made of a downloaded bundle. Always at least one: with none the driver would leave those of yesterday.

use super::attributes::{Layout, is_name};
use super::proto::File;
use super::refusal::Refusal;
use crate::cli::bundle::tar;
use crate::cli::whole_file::Mode;
use zeroize::Zeroizing;

/// The file of an empty bundle where each key would be a file. `*` does not match it.
pub const MARKER: &str = ".claviger-empty";

/// The files of a bundle with this number of keys.
pub fn of(layout: &Layout, mode: Mode, bundle: &[u8], keys: usize) -> Result<Vec<File>, Refusal> {
    // At most 0o777.
    let mode = mode.bits().cast_signed();
    match layout {
        Layout::OneFile { path, .. } => Ok(vec![File { path: path.clone(), mode, contents: bundle.to_vec() }]),
        Layout::FilePerKey if keys == 0 => Ok(vec![File { path: MARKER.into(), mode, contents: Vec::new() }]),
        Layout::FilePerKey => {
            let files = tar::read(bundle).filter(|files| files.len() == keys).ok_or_else(Refusal::unexpected_answer)?;
            if !files.iter().all(|(name, _)| is_name(name)) {
                return Err(Refusal::unrenderable());
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

    fn named(files: Vec<File>) -> Vec<(String, i32, Vec<u8>)> {
        files.into_iter().map(|file| (file.path, file.mode, file.contents)).collect()
    }

    fn made(layout: &Layout, bundle: &[u8], keys: usize) -> Result<Vec<(String, i32, Vec<u8>)>, String> {
        let mode = "0440".parse().expect("a mode");
        of(layout, mode, bundle, keys).map(named).map_err(|refusal| refusal.text("r"))
    }

    #[test]
    fn each_key_is_a_file_with_the_bytes_of_its_value() {
        let values = [("A", "one\n"), ("B", ""), ("C.pem", "-----\nö\n")];
        let files = values.map(|(name, value)| (name.to_owned(), 0o440, value.as_bytes().to_vec())).to_vec();
        assert_eq!(made(&Layout::FilePerKey, &archive(&values), 3), Ok(files));
    }

    #[test]
    fn an_empty_bundle_is_one_empty_file() {
        let marker = vec![(MARKER.to_owned(), 0o440, Vec::new())];
        assert_eq!(made(&Layout::FilePerKey, &archive(&[]), 0), Ok(marker));
        let one = Layout::OneFile { path: "etc/env".into(), format: Format::Export };
        assert_eq!(made(&one, b"", 0), Ok(vec![("etc/env".to_owned(), 0o440, Vec::new())]));
    }

    #[test]
    fn a_damaged_archive_and_a_name_that_the_driver_refuses_are_no_files() {
        let good = archive(&[("A", &"x".repeat(600))]);
        for bad in [&good[..100], &good[..1024], b"hunter2", b""] {
            assert!(
                made(&Layout::FilePerKey, bad, 1).is_err_and(|why| why.starts_with("unexpected_answer")),
                "{bad:?}"
            );
        }
        assert!(made(&Layout::FilePerKey, &good, 2).is_err(), "a key is missing");
        let why = made(&Layout::FilePerKey, &archive(&[("..data", "x")]), 1);
        assert!(why.as_ref().is_err_and(|why| why.starts_with("unrenderable")), "{why:?}");
    }
}
