//! Parses files of credentials: `docker-config`, `npmrc` and `netrc`. The name of a value is its registry, its setting in `npmrc`,
//! or its machine. The functions return `None` if the text is not in the format.

use super::values::Values;
use crate::model::secret::SecretValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, BTreeMap<String, String>>,
}

/// Returns all members of each registry in `auths`, and the password in each `auth` as one more value. An empty text has no
/// values.
pub fn parse_docker_config(text: &str) -> Option<Values> {
    let mut values = Values::new();
    if text.is_empty() {
        return Some(values);
    }
    let config: DockerConfig = serde_json::from_str(text).ok()?;
    for (registry, members) in config.auths {
        for (member, value) in members {
            let password = if member == "auth" { decode_password(&value) } else { None };
            values.push((registry.clone(), SecretValue::new(value)));
            values.extend(password.map(|password| (registry.clone(), password)));
        }
    }
    Some(values)
}

/// Decodes the base64 of `user:password`, and returns the password. `None` if the text is something else.
fn decode_password(auth: &str) -> Option<SecretValue> {
    let pair = Zeroizing::new(STANDARD.decode(auth).ok()?);
    let (_, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some(SecretValue::new(password.to_owned()))
}

/// Parses `NAME=VALUE` lines.
pub fn parse_npmrc(text: &str) -> Option<Values> {
    let parse_line = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.to_owned(), SecretValue::new(value.to_owned())))
    };
    text.lines().map(parse_line).collect()
}

/// Parses the passwords in `machine H login U password P` lines.
pub fn parse_netrc(text: &str) -> Option<Values> {
    let parse_line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["machine", machine, "login", _, "password", password] => {
                Some((machine.to_owned(), SecretValue::new(password.to_owned())))
            }
            _ => None,
        }
    };
    text.lines().map(parse_line).collect()
}
