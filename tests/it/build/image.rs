//! The real contents of an image: the archive and its layers are unpacked and searched without Claviger.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// An unpacked archive: blobs as stored and decompressed, and the files of each layer.
pub struct Unpacked(TempDir);

impl Unpacked {
    /// Unpacks an `oci-archive`.
    pub fn of(archive: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = "set -eu
            mkdir archive plain layers && tar -xf \"$1\" -C archive
            for blob in archive/blobs/sha256/*; do
              name=${blob##*/}
              gzip -dc <\"$blob\" >plain/$name 2>/dev/null || cp \"$blob\" plain/$name
              if tar -tf plain/$name >/dev/null 2>&1; then mkdir layers/$name && tar -xf plain/$name -C layers/$name; fi
            done";
        let status =
            Command::new("bash").args(["-c", script, "unpack"]).arg(archive).current_dir(folder.path()).status();
        assert!(status.unwrap().success());
        assert!(fs::read_dir(folder.path().join("layers")).unwrap().count() > 0);
        Self(folder)
    }

    /// The files in which plain grep finds a value, as text or in base64.
    pub fn grep(&self, value: &str) -> Vec<String> {
        // Base64 without the characters that depend on the surrounding bytes.
        let encoded = STANDARD.encode(value);
        let encoded = &encoded[..encoded.len() / 4 * 4 - 4];
        let mut grep = Command::new("grep");
        let output = grep.args(["-rlaF", "-e", value, "-e", encoded, "."]).current_dir(self.0.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// A file of the image, from any layer that has it.
    pub fn file(&self, path: &str) -> Option<String> {
        let mut layers = fs::read_dir(self.0.path().join("layers")).unwrap();
        layers.find_map(|layer| fs::read_to_string(layer.unwrap().path().join(path)).ok())
    }
}
