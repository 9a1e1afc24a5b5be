//! The secrets in files of credentials, each under the name of its place: `docker-config`, `npmrc` and `netrc`.

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

/// All members of all `auths`, and of `auth` also the password alone. Zero bytes hold none.
pub fn docker_config(text: &str) -> Option<Values> {
    let mut values = Values::new();
    if text.is_empty() {
        return Some(values);
    }
    let config: DockerConfig = serde_json::from_str(text).ok()?;
    for (registry, members) in config.auths {
        for (member, value) in members {
            let password = if member == "auth" { password(&value) } else { None };
            values.push((registry.clone(), SecretValue::new(value)));
            values.extend(password.map(|password| (registry.clone(), password)));
        }
    }
    Some(values)
}

/// The password in the base64 of `user:password`.
fn password(auth: &str) -> Option<SecretValue> {
    let pair = Zeroizing::new(STANDARD.decode(auth).ok()?);
    let (_, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some(SecretValue::new(password.to_owned()))
}

/// What is behind `=` in each line.
pub fn npmrc(text: &str) -> Option<Values> {
    let line = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.to_owned(), SecretValue::new(value.to_owned())))
    };
    text.lines().map(line).collect()
}

/// The passwords of `machine H login U password P` lines.
pub fn netrc(text: &str) -> Option<Values> {
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["machine", machine, "login", _, "password", password] => {
                Some((machine.to_owned(), SecretValue::new(password.to_owned())))
            }
            _ => None,
        }
    };
    text.lines().map(line).collect()
}
