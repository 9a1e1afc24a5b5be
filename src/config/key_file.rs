//! Reads key files, which have 32 bytes in base64.

use crate::document::Fault;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use zeroize::Zeroizing;

/// Length of a key in bytes.
pub const KEY_BYTES: usize = 32;
/// Maximum size of a key file: 44 characters, and surrounding white space.
const MAX_FILE_BYTES: usize = 1024;
/// Padding is optional, because `base64` writes it and some editors for secrets remove it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads a key.
///
/// # Errors
/// The file cannot be read, or has other content. The fault has the name of the file, and nothing of its content.
pub fn read(path: &Path) -> Result<Zeroizing<[u8; KEY_BYTES]>, Fault> {
    let fault = |reason: &str| Fault::new("", format!("the key file {} {reason}", path.display()));
    let mut text = Zeroizing::new([0; MAX_FILE_BYTES]);
    let length = read_into(path, &mut *text).map_err(|_| fault("cannot be read"))?;
    // The decoder needs a buffer for the longest possible result.
    let mut decoded = Zeroizing::new([0; MAX_FILE_BYTES]);
    let decoded_length = BASE64.decode_slice(text[..length].trim_ascii(), &mut *decoded).unwrap_or(0);
    if length == MAX_FILE_BYTES || decoded_length != KEY_BYTES {
        return Err(fault("must hold 32 bytes in base64"));
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    key.copy_from_slice(&decoded[..KEY_BYTES]);
    Ok(key)
}

/// Reads until the end of the file or until the buffer is full, and returns the number of bytes. Reads directly into the buffer, so
/// that no other copy of the key exists.
fn read_into(path: &Path, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut file = File::open(path)?;
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..])? {
            0 => break,
            count => length += count,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose;

    fn read_text(text: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, Fault> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, text).expect("written");
        read(&path)
    }

    #[test]
    fn reads_keys_with_and_without_padding_and_white_space() {
        let key: [u8; 32] = std::array::from_fn(|i| u8::try_from(i * 7).unwrap());
        let text = general_purpose::STANDARD.encode(key);
        for text in
            [text.clone(), format!("{text}\n"), format!(" \t{text}\r\n\n"), text.trim_end_matches('=').to_owned()]
        {
            assert_eq!(*read_text(text.as_bytes()).expect(&text), key);
        }
    }

    #[test]
    fn refuses_other_content_without_repeating_it() {
        let encode = |length: usize| general_purpose::STANDARD.encode(vec![0xfb; length]);
        let url_safe = general_purpose::URL_SAFE.encode([0xfb; 32]);
        let with_a_gap = format!("{} {}", &encode(32)[..10], &encode(32)[10..]);
        let huge = format!("{}{}", encode(32), " ".repeat(2000));
        for text in ["", "hunter2", "====", &encode(31), &encode(33), &encode(64), &url_safe, &with_a_gap, &huge] {
            let fault = read_text(text.as_bytes()).expect_err(text);
            assert!(fault.detail.ends_with("must hold 32 bytes in base64"), "{fault:?}");
            assert!(text.is_empty() || !fault.detail.contains(text));
        }
        assert!(read_text(&[0xff; 44]).is_err());
        assert!(read(Path::new("/nowhere/key")).is_err_and(|fault| fault.detail.ends_with("cannot be read")));
    }
}
