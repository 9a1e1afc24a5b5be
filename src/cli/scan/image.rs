//! Searches all parts of an image, referenced or not. Every referenced part must be present.

use super::folder;
use super::kind::Kind;
use super::sweep::Sweep;
use flate2::read::MultiGzDecoder;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tar::Archive;

/// Larger than any index, manifest or configuration.
const MAX_JSON_BYTES: u64 = 16 * 1024 * 1024;

/// An image on disk.
#[derive(Debug, Clone)]
pub struct Image {
    form: Form,
    path: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
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
        let (form, path) = text.split_once(':').ok_or("must be KIND:PATH")?;
        let form = match form {
            "oci-archive" => Form::OciArchive,
            "docker-archive" => Form::DockerArchive,
            "dir" | "oci" => Form::Folder,
            _ => return Err("the kinds are oci-archive, docker-archive and dir"),
        };
        Ok(Self { form, path: path.into() })
    }
}

impl Image {
    /// Searches the image; an error names what could not be read.
    pub fn search(&self, sweep: &mut Sweep<'_>) -> Result<(), String> {
        let mut parts = Parts::default();
        if self.form == Form::Folder {
            folder::each(&self.path, &mut |path| {
                let name = path.strip_prefix(&self.path).unwrap_or(path).to_string_lossy();
                if path.is_file() {
                    parts.look(sweep, &name, std::fs::metadata(path)?.len(), &mut File::open(path)?)?;
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
            let (kind, stream) = Kind::peek(BufReader::new(file)).map_err(unreadable)?;
            match kind {
                Kind::Gzip => parts.look_all(sweep, &mut MultiGzDecoder::new(stream)),
                Kind::Tar => parts.look_all(sweep, &mut { stream }),
                _ => return Err(format!("{}: is not an archive", self.path.display())),
            }
            .map_err(unreadable)?;
        }
        let complete = if self.form == Form::DockerArchive { parts.docker() } else { parts.oci() };
        complete.map_err(|why| format!("{}: {why}", Path::display(&self.path)))
    }
}

/// The parts that an image contains.
#[derive(Default)]
struct Parts {
    /// The kind of each part when decompressed, by its name in the image.
    kinds: BTreeMap<String, Kind>,
    /// The documents among them.
    documents: BTreeMap<String, Value>,
}

impl Parts {
    fn look_all(&mut self, sweep: &mut Sweep<'_>, reader: &mut dyn Read) -> io::Result<()> {
        for entry in Archive::new(reader).entries()? {
            let mut entry = entry?;
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = path.trim_start_matches("./");
            let kind = entry.header().entry_type();
            if kind.is_file() {
                let size = entry.size();
                self.look(sweep, name, size, &mut entry)?;
            } else if kind.is_symlink() || kind.is_hard_link() {
                // An older `docker save` writes a layer once, and links to it elsewhere.
                self.kinds.insert(name.to_owned(), Kind::Tar);
            }
        }
        Ok(())
    }

    fn look(&mut self, sweep: &mut Sweep<'_>, name: &str, size: u64, reader: &mut dyn Read) -> io::Result<()> {
        let part = name.strip_prefix("blobs/sha256/").map_or_else(|| name.to_owned(), |hex| format!("sha256:{hex}"));
        sweep.name(&part, None, name.as_bytes());
        let (kind, mut stream) = Kind::peek(reader)?;
        let kind = if kind == Kind::Plain && size <= MAX_JSON_BYTES {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes)?;
            if let Ok(document) = serde_json::from_slice(&bytes) {
                self.documents.insert(name.to_owned(), document);
            }
            sweep.part(&mut Cursor::new(bytes), &part)?
        } else {
            sweep.part(&mut stream, &part)?
        };
        self.kinds.insert(name.to_owned(), kind);
        Ok(())
    }

    /// Whether every part that an OCI index references is present, and every layer could be opened. Manifests of an index
    /// may be absent if the image was copied for one platform.
    fn oci(&self) -> Result<(), String> {
        let index = self.documents.get("index.json").ok_or("has no index.json, so it is not an OCI layout")?;
        let (mut waiting, mut manifests) = (vec![index], 0);
        let mut seen = 0;
        while let Some(document) = waiting.pop() {
            seen += 1;
            if seen > 10_000 {
                return Err("its index does not end".into());
            }
            if let Some(listed) = document["manifests"].as_array() {
                waiting.extend(listed.iter().filter_map(|one| self.documents.get(&blob(&one["digest"])?)));
            } else {
                manifests += 1;
                self.is_there(&blob(&document["config"]["digest"]).ok_or("a manifest names no configuration")?)?;
                for layer in document["layers"].as_array().ok_or("a manifest names no layers")? {
                    self.is_layer(&blob(&layer["digest"]).ok_or("a manifest names a layer without a digest")?)?;
                }
            }
        }
        if manifests == 0 { Err("has no manifest".into()) } else { Ok(()) }
    }

    /// Whether every part that a `manifest.json` names is present, and every layer could be opened.
    fn docker(&self) -> Result<(), String> {
        let strange = "has no manifest.json as docker save writes it";
        let images = self.documents.get("manifest.json").and_then(Value::as_array).ok_or(strange)?;
        for image in images {
            self.is_there(image["Config"].as_str().ok_or(strange)?)?;
            for layer in image["Layers"].as_array().ok_or(strange)? {
                self.is_layer(layer.as_str().ok_or(strange)?)?;
            }
        }
        if images.is_empty() { Err(strange.into()) } else { Ok(()) }
    }

    fn is_there(&self, name: &str) -> Result<Kind, String> {
        self.kinds.get(name).copied().ok_or_else(|| format!("{name} is not in it"))
    }

    fn is_layer(&self, name: &str) -> Result<(), String> {
        match self.is_there(name)? {
            Kind::Tar => Ok(()),
            _ => Err(format!("{name} is a layer, and no archive as gzip or zstd pack it")),
        }
    }
}

/// The name of the blob with a digest.
fn blob(digest: &Value) -> Option<String> {
    digest.as_str()?.split_once(':').map(|(algorithm, hex)| format!("blobs/{algorithm}/{hex}"))
}
