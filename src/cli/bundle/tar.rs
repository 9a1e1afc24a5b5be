//! Unpacks the format `tar`: an archive with one file for each key.

use std::io::Read as _;
use zeroize::Zeroizing;

/// Returns the names and contents of the files. `None` if the archive is damaged.
pub fn unpack(archive: &[u8]) -> Option<Vec<(String, Zeroizing<Vec<u8>>)>> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(archive).entries().ok()? {
        let mut entry = entry.ok()?;
        let name = String::from_utf8(entry.path_bytes().into_owned()).ok()?;
        let size = usize::try_from(entry.size()).ok()?;
        // Full capacity from the start: a vector that grows leaves its old contents in memory.
        let mut contents = Zeroizing::new(Vec::with_capacity(size.min(archive.len())));
        if entry.read_to_end(&mut contents).ok()? != size {
            return None;
        }
        files.push((name, contents));
    }
    Some(files)
}

/// Whether the server puts a key of this name into an archive: names that are one safe path component of at most 100 bytes.
pub fn can_have_name(name: &str) -> bool {
    let is_component = !matches!(name, "" | "." | "..") && !name.contains(['/', '\\']);
    is_component && name.len() <= 100 && !name.starts_with('-') && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bundle::{Bundle, Entry};
    use crate::model::format::Format;
    use crate::model::secret::SecretValue;
    use crate::render::render;

    #[test]
    fn an_archive_can_have_the_names_that_the_server_accepts() {
        let long = "n".repeat(101);
        for name in
            ["a", ".npmrc", "tls.key", "\u{e9}", "a b", &long[1..], &long, "", ".", "..", "a/b", "a\\b", "-a", "a\n"]
        {
            let value = SecretValue::new("v".to_owned());
            let entry = Entry { value, named_by_policy: false, is_base64: false };
            let bundle = Bundle { entries: [(name.to_owned(), entry)].into(), ..Bundle::default() };
            assert_eq!(can_have_name(name), render(&bundle, &Format::Tar.into()).is_ok(), "{name:?}");
        }
    }
}
