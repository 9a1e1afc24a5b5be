//! Searches all parts of an image, also those that no manifest names, and checks that the configuration and the layers of each
//! manifest are present.

use super::content_kind::ContentKind;
use super::folder;
use super::scanner::Scanner;
use flate2::read::MultiGzDecoder;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tar::Archive;

/// Maximum size of an index, manifest or configuration. A larger part is searched, but not parsed.
const MAX_JSON_BYTES: u64 = 16 * 1024 * 1024;

/// The media type of an attestation, such as the provenance that BuildKit adds. It is a JSON document in the place of a layer.
const IN_TOTO_MEDIA_TYPE: &str = "application/vnd.in-toto+json";
const EMPTY_MEDIA_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// An image on disk.
#[derive(Debug, Clone)]
pub struct Image {
    format: ImageFormat,
    path: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ImageFormat {
    /// An OCI layout in a tar file.
    OciArchive,
    /// The output of `docker save`.
    DockerArchive,
    /// An OCI layout in a folder.
    Folder,
}

impl FromStr for Image {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (format, path) = text.split_once(':').ok_or("must be KIND:PATH")?;
        let format = match format {
            "oci-archive" => ImageFormat::OciArchive,
            "docker-archive" => ImageFormat::DockerArchive,
            "dir" | "oci" => ImageFormat::Folder,
            _ => return Err("the kinds are oci-archive, docker-archive and dir"),
        };
        Ok(Self { format, path: path.into() })
    }
}

impl Image {
    /// Searches the image. The error names the file that cannot be read, or the part that is missing.
    pub fn search(&self, scanner: &mut Scanner<'_>) -> Result<(), String> {
        let mut parts = ImageParts::default();
        if self.format == ImageFormat::Folder {
            folder::walk(&self.path, &mut |path| {
                let name = path.strip_prefix(&self.path).unwrap_or(path).to_string_lossy();
                if path.is_file() {
                    parts.search_part(scanner, &name, std::fs::metadata(path)?.len(), &mut File::open(path)?)?;
                }
                Ok(())
            })?;
        } else {
            let unreadable = |error: io::Error| format!("{}: cannot be read: {}", self.path.display(), error.kind());
            let file: Box<dyn Read> = if self.path == Path::new("-") {
                Box::new(io::stdin().lock())
            } else {
                Box::new(File::open(&self.path).map_err(unreadable)?)
            };
            let (kind, stream) = ContentKind::peek(BufReader::new(file)).map_err(unreadable)?;
            match kind {
                ContentKind::Gzip => parts.search_archive(scanner, &mut MultiGzDecoder::new(stream)),
                ContentKind::Tar => parts.search_archive(scanner, &mut { stream }),
                _ => return Err(format!("{}: is not an archive", self.path.display())),
            }
            .map_err(unreadable)?;
        }
        let result = if self.format == ImageFormat::DockerArchive { parts.check_docker() } else { parts.check_oci() };
        result.map_err(|why| format!("{}: {why}", Path::display(&self.path)))
    }
}

/// The parts that an image contains.
#[derive(Default)]
struct ImageParts {
    /// The kind of the decompressed contents of each part, by its name in the image.
    kinds: BTreeMap<String, ContentKind>,
    /// The parts that are JSON documents, by their names.
    documents: BTreeMap<String, Value>,
}

impl ImageParts {
    fn search_archive(&mut self, scanner: &mut Scanner<'_>, reader: &mut dyn Read) -> io::Result<()> {
        for entry in Archive::new(reader).entries()? {
            let mut entry = entry?;
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = path.trim_start_matches("./");
            let kind = entry.header().entry_type();
            if kind.is_file() {
                let size = entry.size();
                self.search_part(scanner, name, size, &mut entry)?;
            } else if kind.is_symlink() || kind.is_hard_link() {
                // An older `docker save` writes each layer once, and links at the other places where the layer is named.
                self.kinds.insert(name.to_owned(), ContentKind::Tar);
            }
        }
        Ok(())
    }

    /// Searches a part, and keeps its kind and, if it is a JSON document, its contents.
    fn search_part(
        &mut self,
        scanner: &mut Scanner<'_>,
        name: &str,
        size: u64,
        reader: &mut dyn Read,
    ) -> io::Result<()> {
        let part = name.strip_prefix("blobs/sha256/").map_or_else(|| name.to_owned(), |hex| format!("sha256:{hex}"));
        scanner.search_name(&part, None, name.as_bytes());
        let (kind, mut stream) = ContentKind::peek(reader)?;
        let kind = if kind == ContentKind::Plain && size <= MAX_JSON_BYTES {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes)?;
            if let Ok(document) = serde_json::from_slice(&bytes) {
                self.documents.insert(name.to_owned(), document);
            }
            scanner.search_part(&mut Cursor::new(bytes), &part)?
        } else {
            scanner.search_part(&mut stream, &part)?
        };
        self.kinds.insert(name.to_owned(), kind);
        Ok(())
    }

    /// Checks that the configuration and the layers of each manifest are present, and that every layer is an archive or an
    /// attestation. The index may list manifests that are absent, as in an image that was copied for one platform.
    fn check_oci(&self) -> Result<(), String> {
        let index = self.documents.get("index.json").ok_or("has no index.json, so it is not an OCI layout")?;
        let (mut pending, mut manifests) = (vec![index], 0);
        let mut seen = 0;
        while let Some(document) = pending.pop() {
            seen += 1;
            if seen > 10_000 {
                return Err("its index does not end".into());
            }
            if let Some(listed) = document["manifests"].as_array() {
                pending.extend(listed.iter().filter_map(|entry| self.documents.get(&blob_name(&entry["digest"])?)));
            } else {
                manifests += 1;
                let config = &document["config"];
                let name = blob_name(&config["digest"]).ok_or("a manifest names no configuration")?;
                if !is_inline_empty_config(config) {
                    self.find_part(&name)?;
                }
                for layer in document["layers"].as_array().ok_or("a manifest names no layers")? {
                    let name = blob_name(&layer["digest"]).ok_or("a manifest names a layer without a digest")?;
                    if layer["mediaType"] == IN_TOTO_MEDIA_TYPE {
                        self.check_attestation(&name)?;
                    } else {
                        self.check_layer(&name)?;
                    }
                }
            }
        }
        if manifests == 0 { Err("has no manifest".into()) } else { Ok(()) }
    }

    /// Checks that every part that a `manifest.json` names is present, and that every layer is an archive.
    fn check_docker(&self) -> Result<(), String> {
        let malformed = "has no manifest.json as docker save writes it";
        let images = self.documents.get("manifest.json").and_then(Value::as_array).ok_or(malformed)?;
        for image in images {
            self.find_part(image["Config"].as_str().ok_or(malformed)?)?;
            for layer in image["Layers"].as_array().ok_or(malformed)? {
                self.check_layer(layer.as_str().ok_or(malformed)?)?;
            }
        }
        if images.is_empty() { Err(malformed.into()) } else { Ok(()) }
    }

    fn find_part(&self, name: &str) -> Result<ContentKind, String> {
        self.kinds.get(name).copied().ok_or_else(|| format!("{name} is not in it"))
    }

    fn check_layer(&self, name: &str) -> Result<(), String> {
        match self.find_part(name)? {
            ContentKind::Tar => Ok(()),
            _ => Err(format!("{name} is a layer, and no archive as gzip or zstd pack it")),
        }
    }

    /// Checks that an attestation was searched. An unsupported compression would hide its contents.
    fn check_attestation(&self, name: &str) -> Result<(), String> {
        match self.find_part(name)? {
            ContentKind::Plain | ContentKind::Tar => Ok(()),
            _ => Err(format!("{name} is an attestation, and no JSON")),
        }
    }
}

/// Whether a manifest contains its configuration, `{}`, itself. Such a configuration needs no blob (OCI image specification 1.1,
/// "Guidance for an Empty Descriptor"). The attestations of recent BuildKit versions have it.
fn is_inline_empty_config(config: &Value) -> bool {
    config["mediaType"] == EMPTY_MEDIA_TYPE && config["data"] == "e30="
}

/// The name of the blob with a digest, in an OCI layout.
fn blob_name(digest: &Value) -> Option<String> {
    digest.as_str()?.split_once(':').map(|(algorithm, hex)| format!("blobs/{algorithm}/{hex}"))
}
