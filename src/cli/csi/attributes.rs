//! The attributes of a mount: the parameters of the `SecretProviderClass`, overwritten by the pod's `volumeAttributes`, and what
//! kubelet and the driver add.
//!
//! Whoever may create pods chooses all of it. Server, CA and audience are never among the parameters.

use super::refusal::Refusal;
use crate::cli::whole_file::Mode;
use crate::model::format::Format;
use crate::model::secret::SecretValue;
use crate::wire::ticket::TicketRequest;
use std::collections::BTreeMap;

/// The pod's tokens by audience, as JSON.
pub const TOKENS: &str = "csi.storage.k8s.io/serviceAccount.tokens";
const POD_UID: &str = "csi.storage.k8s.io/pod.uid";
/// The parameters that Claviger reads.
const KNOWN: [&str; 7] = ["repo", "branch", "keys", "required", "format", "file", "mode"];
/// Mode of the files: readable by containers of any user.
const DEFAULT_MODE: &str = "0444";
/// The longest file name and path of Linux.
const MAX_NAME: usize = 255;
const MAX_PATH: usize = 4096;

/// The checked attributes.
pub struct Attributes {
    pub request: TicketRequest,
    pub layout: Layout,
    pub mode: Mode,
    /// The pod that the volume is for, as kubelet names it.
    pub pod_uid: Option<String>,
    /// JSON object of tokens, by audience.
    pub tokens: Option<SecretValue>,
}

/// How the bundle becomes files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// One file for each key, with its name.
    FilePerKey,
    /// One file with the whole bundle.
    OneFile { path: String, format: Format },
}

impl Layout {
    /// The format to download. An archive has values as bytes, and names that are file names.
    pub const fn format(&self) -> Format {
        match self {
            Self::FilePerKey => Format::Tar,
            Self::OneFile { format, .. } => *format,
        }
    }
}

impl Attributes {
    /// Reads the attributes. Unknown names are ignored, because others add theirs, unless they look like misspelt ones.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        let invalid = Refusal::parameters;
        let mut given: BTreeMap<String, String> =
            serde_json::from_str(text).map_err(|_| invalid("The attributes must be a JSON object of strings."))?;
        let tokens = given.remove(TOKENS).map(SecretValue::new);
        let pod_uid = given.remove(POD_UID);
        let [repo, branch, keys, required, format, file, mode] = KNOWN.map(|name| given.remove(name));
        if given.keys().any(|name| is_misspelt(name)) {
            return Err(invalid(
                "A parameter is misspelt. They are repo, branch, keys, required, format, file and mode.",
            ));
        }
        let required = match required.as_deref() {
            None | Some("false") => None,
            Some("true") => Some(true),
            Some(_) => return Err(invalid("Correct the parameter required: it must be \"true\" or \"false\".")),
        };
        let keys = keys.map(|keys| keys_of(&keys)).transpose()?;
        let layout = layout(format.as_deref(), file)?;
        let mode = mode.as_deref().unwrap_or(DEFAULT_MODE).parse().map_err(|_| {
            invalid("Correct the parameter mode: it must be octal permissions that let the owner read, as \"0444\".")
        })?;
        let request = TicketRequest { repo, branch, ttl: None, keys, required };
        Ok(Self { request, layout, mode, pod_uid, tokens })
    }
}

/// Whether a name differs from a parameter by a slip of the keyboard.
fn is_misspelt(name: &str) -> bool {
    // Names of the driver and of kubelet have a slash.
    let slips = |known: &str| if known.len() > 4 { 2 } else { 1 };
    !name.contains('/') && KNOWN.iter().any(|known| strsim::osa_distance(&name.to_lowercase(), known) <= slips(known))
}

/// The names between commas.
fn keys_of(text: &str) -> Result<Vec<String>, Refusal> {
    let keys: Vec<String> = text.split(',').map(|key| key.trim().to_owned()).collect();
    if keys.iter().any(String::is_empty) {
        return Err(Refusal::parameters("Correct the parameter keys: it must be names with commas between them."));
    }
    Ok(keys)
}

fn layout(format: Option<&str>, file: Option<String>) -> Result<Layout, Refusal> {
    let format = format.map(str::parse).transpose().map_err(|_| {
        Refusal::parameters(
            "Correct the parameter format: it must be export, dotenv, dotenv-expand, json, raw, tar, docker-config, npmrc or netrc.",
        )
    })?;
    match (format, file) {
        (None, None) => Ok(Layout::FilePerKey),
        (Some(_), None) => Err(Refusal::parameters("Add the parameter file: format goes with it.")),
        (format, Some(path)) if is_path(&path) => Ok(Layout::OneFile { path, format: format.unwrap_or_default() }),
        (_, Some(_)) => Err(Refusal::parameters(
            "Correct the parameter file: it must be a relative path without control characters whose names do not begin with \"..\".",
        )),
    }
}

fn is_path(path: &str) -> bool {
    path.len() <= MAX_PATH && path.split('/').all(is_name)
}

/// Whether it is one component of a path that the driver accepts. It keeps names that begin with `..` for itself.
pub fn is_name(name: &str) -> bool {
    let is_free = !name.is_empty() && name != "." && !name.starts_with("..") && name.len() <= MAX_NAME;
    is_free && !name.contains(|c: char| c.is_control() || matches!(c, '/' | '\\'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(parameters: &serde_json::Value) -> Result<Attributes, String> {
        Attributes::read(&parameters.to_string()).map_err(|refusal| refusal.text("r"))
    }

    #[test]
    fn the_parameters_are_read_and_the_rest_of_the_attributes_is_not() {
        let attributes = read(&json!({
            "repo": "site", "branch": "feature/x", "keys": "A, B", "required": "true", "format": "json",
            "file": "etc/build.json", "mode": "0400", "secretProviderClass": "site", "server": "http://evil",
            "claviger": "http://evil", "ca-file": "/x", "audience": "y", "csi.storage.k8s.io/pod.name": "build-1",
            "csi.storage.k8s.io/pod.uid": "u", "csi.storage.k8s.io/ephemeral": "true", (TOKENS): "{}",
        }))
        .unwrap_or_else(|why| panic!("{why}"));
        let request = TicketRequest {
            repo: Some("site".into()),
            branch: Some("feature/x".into()),
            ttl: None,
            keys: Some(vec!["A".into(), "B".into()]),
            required: Some(true),
        };
        assert_eq!(attributes.request, request);
        assert_eq!(attributes.layout, Layout::OneFile { path: "etc/build.json".into(), format: Format::Json });
        assert_eq!((attributes.mode.bits(), attributes.pod_uid.as_deref()), (0o400, Some("u")));
        assert!(attributes.tokens.is_some());
    }

    #[test]
    fn without_parameters_there_is_a_file_for_each_key_that_everybody_reads() {
        for none in [json!({}), json!({"required": "false", "mode": "444"})] {
            let attributes = read(&none).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!((attributes.request, attributes.mode.bits()), (TicketRequest::default(), 0o444));
            assert_eq!((attributes.layout.format(), attributes.layout), (Format::Tar, Layout::FilePerKey));
        }
        let attributes = read(&json!({"file": "build-env"})).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(attributes.layout.format(), Format::Export);
    }

    #[test]
    fn a_wrong_parameter_is_named_and_its_value_is_not_repeated() {
        let long = "a".repeat(256);
        for (name, values) in [
            ("required", &["", "yes", "True", "1"][..]),
            ("mode", &["", "0", "4755", "0044", "u=r", "-1", "99999"]),
            ("keys", &["", "A,", ",", "A,,B"]),
            (
                "file",
                &["", "/etc/x", "..", "../x", "a/../b", "..data", "a/..b", "a//b", "a/", ".", "a\\b", "a\nb", &long],
            ),
        ] {
            for value in values {
                let why = read(&json!({ (name): value })).err().unwrap_or_else(|| panic!("{name}={value} was taken"));
                assert!(why.starts_with("invalid_parameters: ") && why.contains(name), "{name}={value}: {why}");
                assert!(value.len() < 3 || !why.contains(value), "{why}");
            }
        }
        for format in ["", "xml", "Json"] {
            let why = read(&json!({"format": format, "file": "x"})).err();
            assert!(why.as_ref().is_some_and(|why| why.contains("parameter format")), "{why:?}");
        }
        assert!(read(&json!({"format": "json"})).err().is_some_and(|why| why.contains("parameter file")));
        for text in ["", "[]", "null", "{\"repo\":1}", "{\"repo\":null}", "{\"repo\":\"a\"} x"] {
            assert!(Attributes::read(text).is_err(), "{text}");
        }
        for good in ["a", "a/b/c.json", ".npmrc", "a..b"] {
            assert!(read(&json!({"file": good})).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_misspelt_parameter_is_refused_and_another_name_is_not() {
        for misspelt in ["requried", "Required", "REPO", "rep", "brnach", "branches", "key", "formt", "files", "modes"]
        {
            let why = read(&json!({ (misspelt): "x" })).err();
            assert!(why.as_ref().is_some_and(|why| why.contains("misspelt")), "{misspelt}: {why:?}");
        }
        for other in ["server", "claviger", "ca-file", "audience", "objects", "roleName", "vaultAddress", "x/repo"] {
            assert!(read(&json!({ (other): "x" })).is_ok(), "{other}");
        }
    }
}
