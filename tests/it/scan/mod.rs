//! `claviger scan`: finds values anywhere in an image or folder, and reports the place but never the value.

mod hiding_places;
mod hostile;
mod images;

use crate::rig::claviger::run;
use std::path::{Path, PathBuf};

/// The value to be found, and its key.
const VALUE: &str = "s3cr3t \"value\" + /of=the~build?";
const KEY: &str = "GITHUB_TOKEN";

/// Scans for the value; returns the code, the findings, and the other output. No output may contain the value.
fn scan(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let bundle = folder.join("bundle.json");
    std::fs::write(&bundle, serde_json::json!({ KEY: VALUE, "OTHER": "of no interest here" }).to_string()).unwrap();
    let with_bundle = [&["scan", "--bundle", bundle.to_str().unwrap()], arguments].concat();
    let (code, found, stderr) = run(&with_bundle);
    assert!(!found.contains("s3cr3t") && !stderr.contains("s3cr3t"), "{found} {stderr}");
    (code, found, stderr)
}

/// A file in an archive.
pub struct Entry<'a> {
    pub path: &'a str,
    pub content: &'a [u8],
}

/// A tar archive of these files.
fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(entry.content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, entry.path, entry.content).unwrap();
    }
    archive.into_inner().unwrap()
}

/// Packed as `gzip` does it.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    packed("gzip", &["-c"], bytes)
}

/// Packed as `zstd` does it.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    packed("zstd", &["-qc"], bytes)
}

fn packed(command: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new(command).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{command}");
    output.stdout
}

/// An image as an OCI layout: its files by name.
struct Layout(Vec<(String, Vec<u8>)>);

impl Layout {
    /// An image with these layers, uncompressed, and with this configuration.
    fn new(layers: &[Vec<u8>], config: &serde_json::Value) -> Self {
        let mut layout = Self(Vec::new());
        let layers: Vec<_> = layers.iter().map(|layer| layout.blob(layer.clone())).collect();
        let config = layout.blob(config.to_string().into_bytes());
        let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": layers});
        let manifest = layout.blob(manifest.to_string().into_bytes());
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [manifest]});
        layout.0.push(("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
        layout.0.push(("index.json".into(), index.to_string().into_bytes()));
        layout
    }

    fn blob(&mut self, bytes: Vec<u8>) -> serde_json::Value {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        let hex = crate::rig::http::hex(digest.as_ref());
        let size = bytes.len();
        self.0.push((format!("blobs/sha256/{hex}"), bytes));
        serde_json::json!({"digest": format!("sha256:{hex}"), "size": size})
    }

    /// Written as one tar file.
    fn as_archive(&self, folder: &Path) -> String {
        let entries: Vec<_> = self.0.iter().map(|(path, content)| Entry { path, content }).collect();
        std::fs::write(folder.join("image.tar"), archive(&entries)).unwrap();
        format!("oci-archive:{}", folder.join("image.tar").display())
    }

    /// Written as a folder.
    fn as_folder(&self, folder: &Path) -> String {
        let root: PathBuf = folder.join("image");
        for (path, content) in &self.0 {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), content).unwrap();
        }
        format!("dir:{}", root.display())
    }
}

/// A layer with a few harmless files and this one.
fn layer(path: &str, content: &[u8]) -> Vec<u8> {
    let noise = vec![b'x'; 200_000];
    archive(&[
        Entry { path: "etc/passwd", content: b"root:x:0:0::/:/bin/sh\n" },
        Entry { path: "usr/noise", content: &noise },
        Entry { path, content },
        Entry { path: "etc/hosts", content: b"127.0.0.1 localhost\n" },
    ])
}
