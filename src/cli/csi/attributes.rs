//! Parses the attributes of a mount: the parameters of the `SecretProviderClass`, overwritten by the pod's `volumeAttributes`,
//! and what kubelet and the driver add.
//!
//! The author of a pod controls the parameters, so server, CA and audience are not among them.

use super::mount_error::MountError;
use crate::cli::atomic_file::Mode;
use crate::model::format::Format;
use crate::model::secret::SecretValue;
use crate::wire::ticket::TicketRequest;
use std::collections::BTreeMap;

/// The attribute with the pod's tokens, a JSON object by audience.
pub const TOKENS_ATTRIBUTE: &str = "csi.storage.k8s.io/serviceAccount.tokens";
const POD_UID_ATTRIBUTE: &str = "csi.storage.k8s.io/pod.uid";
/// The parameters that Claviger reads.
const PARAMETERS: [&str; 7] = ["repo", "branch", "keys", "required", "format", "file", "mode"];
/// Default mode of the files: containers of any user can read them.
const DEFAULT_MODE: &str = "0444";
/// Maximum lengths of a file name and of a path (Linux).
const MAX_NAME_BYTES: usize = 255;
const MAX_PATH_BYTES: usize = 4096;

/// The checked attributes.
pub struct Attributes {
    pub request: TicketRequest,
    pub layout: Layout,
    pub mode: Mode,
    /// Uid of the pod that mounts the volume, from kubelet.
    pub pod_uid: Option<String>,
    /// JSON object of tokens, by audience.
    pub tokens: Option<SecretValue>,
}

/// How the downloaded secrets become files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// One file for each key, with its name.
    FilePerKey,
    /// One file with the whole bundle.
    SingleFile { path: String, format: Format },
}

impl Layout {
    /// The format to download. For `FilePerKey` it is `tar`, which can hold arbitrary bytes.
    pub const fn format(&self) -> Format {
        match self {
            Self::FilePerKey => Format::Tar,
            Self::SingleFile { format, .. } => *format,
        }
    }
}

impl Attributes {
    /// Parses the attributes. Unknown names are ignored, because other software adds some, unless they look misspelt.
    pub fn parse(text: &str) -> Result<Self, MountError> {
        let invalid = MountError::invalid_parameters;
        let mut given: BTreeMap<String, String> =
            serde_json::from_str(text).map_err(|_| invalid("The attributes must be a JSON object of strings."))?;
        let tokens = given.remove(TOKENS_ATTRIBUTE).map(SecretValue::new);
        let pod_uid = given.remove(POD_UID_ATTRIBUTE);
        let [repo, branch, keys, required, format, file, mode] = PARAMETERS.map(|name| given.remove(name));
        if given.keys().any(|name| is_misspelt(name)) {
            return Err(invalid(
                "A parameter is misspelt. The parameters are repo, branch, keys, required, format, file and mode.",
            ));
        }
        let required = match required.as_deref() {
            None | Some("false") => None,
            Some("true") => Some(true),
            Some(_) => return Err(invalid("Correct the parameter \"required\": it must be \"true\" or \"false\".")),
        };
        let keys = keys.map(|keys| parse_keys(&keys)).transpose()?;
        let layout = parse_layout(format.as_deref(), file)?;
        let mode = mode.as_deref().unwrap_or(DEFAULT_MODE).parse().map_err(|_| {
            invalid(
                "Correct the parameter \"mode\": it must be octal permissions that let the owner read, as \"0444\".",
            )
        })?;
        let request = TicketRequest { repo, branch, ttl: None, keys, required };
        Ok(Self { request, layout, mode, pod_uid, tokens })
    }
}

/// Whether a name is similar to a parameter: at edit distance 2 at most, or 1 at most for a parameter of four letters. The
/// names that kubelet and the driver add have a slash, and are not compared.
fn is_misspelt(name: &str) -> bool {
    let max_distance = |known: &str| if known.len() > 4 { 2 } else { 1 };
    !name.contains('/')
        && PARAMETERS.iter().any(|known| strsim::osa_distance(&name.to_lowercase(), known) <= max_distance(known))
}

/// Parses names separated by commas.
fn parse_keys(text: &str) -> Result<Vec<String>, MountError> {
    let keys: Vec<String> = text.split(',').map(|key| key.trim().to_owned()).collect();
    if keys.iter().any(String::is_empty) {
        return Err(MountError::invalid_parameters(
            "Correct the parameter \"keys\": it must be names with commas between them.",
        ));
    }
    Ok(keys)
}

fn parse_layout(format: Option<&str>, file: Option<String>) -> Result<Layout, MountError> {
    let format = format.map(str::parse).transpose().map_err(|_| {
        MountError::invalid_parameters(
            "Correct the parameter \"format\": it must be export, dotenv, dotenv-expand, json, raw, tar, docker-config, npmrc or netrc.",
        )
    })?;
    match (format, file) {
        (None, None) => Ok(Layout::FilePerKey),
        (Some(_), None) => Err(MountError::invalid_parameters(
            "Add the parameter \"file\": \"format\" is allowed only together with it.",
        )),
        (format, Some(path)) if is_valid_path(&path) => {
            Ok(Layout::SingleFile { path, format: format.unwrap_or_default() })
        }
        (_, Some(_)) => Err(MountError::invalid_parameters(
            "Correct the parameter \"file\": it must be a relative path. No component may be empty, \".\" or longer than 255 bytes, begin with \"..\", or contain a backslash or a control character.",
        )),
    }
}

fn is_valid_path(path: &str) -> bool {
    path.len() <= MAX_PATH_BYTES && path.split('/').all(is_valid_name)
}

/// Whether the driver accepts the name as a component of a path. Names that begin with `..` are reserved for the driver.
pub fn is_valid_name(name: &str) -> bool {
    let is_allowed = !name.is_empty() && name != "." && !name.starts_with("..") && name.len() <= MAX_NAME_BYTES;
    is_allowed && !name.contains(|c: char| c.is_control() || matches!(c, '/' | '\\'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(parameters: &serde_json::Value) -> Result<Attributes, String> {
        Attributes::parse(&parameters.to_string()).map_err(|error| error.text("r"))
    }

    #[test]
    fn parameters_are_parsed_and_other_attributes_ignored() {
        let attributes = parse(&json!({
            "repo": "site", "branch": "feature/x", "keys": "A, B", "required": "true", "format": "json",
            "file": "etc/build.json", "mode": "0400", "secretProviderClass": "site", "server": "http://evil",
            "claviger": "http://evil", "ca-file": "/x", "audience": "y", "csi.storage.k8s.io/pod.name": "build-1",
            "csi.storage.k8s.io/pod.uid": "u", "csi.storage.k8s.io/ephemeral": "true", (TOKENS_ATTRIBUTE): "{}",
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
        assert_eq!(attributes.layout, Layout::SingleFile { path: "etc/build.json".into(), format: Format::Json });
        assert_eq!((attributes.mode.bits(), attributes.pod_uid.as_deref()), (0o400, Some("u")));
        assert!(attributes.tokens.is_some());
    }

    #[test]
    fn default_is_a_world_readable_file_for_each_key() {
        for defaults in [json!({}), json!({"required": "false", "mode": "444"})] {
            let attributes = parse(&defaults).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!((attributes.request, attributes.mode.bits()), (TicketRequest::default(), 0o444));
            assert_eq!((attributes.layout.format(), attributes.layout), (Format::Tar, Layout::FilePerKey));
        }
        let attributes = parse(&json!({"file": "build-env"})).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(attributes.layout.format(), Format::Export);
    }

    #[test]
    fn error_names_the_invalid_parameter_without_its_value() {
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
                let why =
                    parse(&json!({ (name): value })).err().unwrap_or_else(|| panic!("{name}={value} was accepted"));
                assert!(why.starts_with("invalid_parameters: ") && why.contains(name), "{name}={value}: {why}");
                assert!(value.len() < 3 || !why.contains(value), "{why}");
            }
        }
        for format in ["", "xml", "Json"] {
            let why = parse(&json!({"format": format, "file": "x"})).err();
            assert!(why.as_ref().is_some_and(|why| why.contains("parameter \"format\"")), "{why:?}");
        }
        assert!(parse(&json!({"format": "json"})).err().is_some_and(|why| why.contains("parameter \"file\"")));
        for text in ["", "[]", "null", "{\"repo\":1}", "{\"repo\":null}", "{\"repo\":\"a\"} x"] {
            assert!(Attributes::parse(text).is_err(), "{text}");
        }
        for good in ["a", "a/b/c.json", ".npmrc", "a..b"] {
            assert!(parse(&json!({"file": good})).is_ok(), "{good}");
        }
    }

    #[test]
    fn misspelt_parameter_is_refused_and_unrelated_name_ignored() {
        for misspelt in ["requried", "Required", "REPO", "rep", "brnach", "branches", "key", "formt", "files", "modes"]
        {
            let why = parse(&json!({ (misspelt): "x" })).err();
            assert!(why.as_ref().is_some_and(|why| why.contains("misspelt")), "{misspelt}: {why:?}");
        }
        for other in ["server", "claviger", "ca-file", "audience", "objects", "roleName", "vaultAddress", "x/repo"] {
            assert!(parse(&json!({ (other): "x" })).is_ok(), "{other}");
        }
    }
}
