//! Overrides from the environment: `CLAVIGER__TICKETS__MAXTTL=10m` sets `tickets.maxTtl`.

use crate::document::{self, Fault, escape_pointer_token};
use serde_json::{Map, Value};

/// The prefix of overrides, compared case-insensitively.
const PREFIX: &str = "CLAVIGER__";

/// A key that a variable sets.
pub(super) struct Override {
    /// The JSON pointer of the key.
    pub(super) pointer: String,
    /// The name of the variable.
    pub(super) variable: String,
    keys: Vec<String>,
    value: Value,
}

/// The environment variables of the process that are UTF-8.
///
/// # Errors
/// A fault for each override whose value is not UTF-8.
#[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
pub(super) fn process_variables() -> Result<Vec<(String, String)>, Vec<Fault>> {
    let mut variables = Vec::new();
    let mut faults = Vec::new();
    for (name, value) in std::env::vars_os() {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => variables.push((name, value)),
            (Ok(name), Err(_)) if override_path(&name).is_some() => {
                faults.push(Fault::new("", format!("{name}: must be UTF-8")));
            }
            _ => {}
        }
    }
    if faults.is_empty() { Ok(variables) } else { Err(faults) }
}

/// Returns the names of the proxy variables that are set. Other programs use them, Claviger does not.
pub(super) fn proxy_variables(environment: &[(String, String)]) -> Vec<&str> {
    const NAMES: [&str; 3] = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"];
    let is_proxy = |name: &str| NAMES.iter().any(|proxy| name == *proxy || name == proxy.to_ascii_lowercase());
    let set = environment.iter().filter(|(name, value)| !value.is_empty() && is_proxy(name));
    set.map(|(name, _)| name.as_str()).collect()
}

/// Finds the overrides among the variables, and a fault for each invalid one. `sections` has every key with its default, whose type
/// the value must have.
pub(super) fn find_overrides(
    sections: &Value,
    environment: impl Iterator<Item = (String, String)>,
) -> (Vec<Override>, Vec<Fault>) {
    let mut found: Vec<Override> = Vec::new();
    let mut faults = Vec::new();
    for (variable, text) in environment {
        let Some(path) = override_path(&variable) else { continue };
        match parse_override(sections, path, &text) {
            Ok((keys, value)) => {
                let pointer =
                    keys.iter().fold(String::new(), |pointer, key| pointer + "/" + &escape_pointer_token(key));
                if let Some(other) = found.iter().find(|other| other.pointer == pointer) {
                    faults.push(Fault::new(pointer, format!("{variable} and {} both set it", other.variable)));
                } else {
                    found.push(Override { pointer, variable, keys, value });
                }
            }
            Err(reason) => faults.push(Fault::new("", format!("{variable}: {reason}"))),
        }
    }
    (found, faults)
}

impl Override {
    /// Sets the value in a document. Does nothing if a parent of the key is a scalar, which decoding reports.
    pub(super) fn apply_to(&self, document: &mut Value) {
        if !self.value.is_null()
            && let Some(place) = self.keys.iter().try_fold(document, |place, key| child_mut(place, key))
        {
            *place = self.value.clone();
        }
    }
}

fn child_mut<'a>(parent: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    if parent.is_null() {
        *parent = Value::Object(Map::new());
    }
    Some(parent.as_object_mut()?.entry(key).or_insert(Value::Null))
}

/// The part of a name after the prefix. `None` if the variable is not an override.
fn override_path(variable: &str) -> Option<&str> {
    let (prefix, path) = variable.split_at_checked(PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then_some(path)
}

fn parse_override(sections: &Value, path: &str, text: &str) -> Result<(Vec<String>, Value), &'static str> {
    let mut keys = Vec::new();
    let mut default = sections;
    for word in path.split("__") {
        let section = match default {
            Value::Object(section) => section,
            Value::Array(_) => return Err("a list cannot be set by a variable"),
            _ => return Err("there is no such key"),
        };
        let (key, value) =
            section.iter().find(|(key, _)| key.eq_ignore_ascii_case(word)).ok_or("there is no such key")?;
        keys.push(key.clone());
        default = value;
    }
    Ok((keys, convert_to_type_of(default, text)?))
}

/// Converts the text of a variable to the type of the default. An empty text gives null, which sets nothing.
fn convert_to_type_of(default: &Value, text: &str) -> Result<Value, &'static str> {
    match default {
        Value::Object(_) => Err("this is a section, and only a key can be set"),
        Value::Array(_) => Err("a list cannot be set by a variable"),
        _ if text.is_empty() => Ok(Value::Null),
        Value::Bool(_) => parse_scalar(text).filter(Value::is_boolean).ok_or("must be true or false"),
        Value::Number(_) => parse_scalar(text).filter(Value::is_u64).ok_or("must be a whole number"),
        Value::String(_) | Value::Null => Ok(Value::String(text.to_owned())),
    }
}

fn parse_scalar(text: &str) -> Option<Value> {
    document::parse(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn apply(variables: &[(&str, &str)]) -> (Value, Vec<String>) {
        let sections = json!({"tickets": {"maxTtl": "15m", "live": 64, "on": true, "store": null}, "stores": []});
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let (overrides, faults) = find_overrides(&sections, environment);
        let mut document = Value::Null;
        for one in &overrides {
            one.apply_to(&mut document);
        }
        (document, faults.into_iter().map(|fault| fault.detail).collect())
    }

    #[test]
    fn a_variable_sets_its_key_case_insensitively_with_the_type_of_the_key() {
        let variables = [
            ("CLAVIGER__TICKETS__MAXTTL", "10m"),
            ("CLAVIGER__tickets__Live", "7"),
            ("claviger__TICKETS__ON", "false"),
            ("CLAVIGER__TICKETS__STORE", "7"),
        ];
        assert_eq!(
            apply(&variables),
            (json!({"tickets": {"maxTtl": "10m", "live": 7, "on": false, "store": "7"}}), vec![])
        );
    }

    #[test]
    fn a_variable_without_a_key_is_a_fault_with_its_name() {
        for (variable, text, detail) in [
            ("CLAVIGER__TICKETS__MAX_TTL", "1s", "CLAVIGER__TICKETS__MAX_TTL: there is no such key"),
            ("CLAVIGER__TICKETS__MAXTTL__X", "1s", "CLAVIGER__TICKETS__MAXTTL__X: there is no such key"),
            ("CLAVIGER__", "1s", "CLAVIGER__: there is no such key"),
            ("CLAVIGER__TICKETS", "1s", "CLAVIGER__TICKETS: this is a section, and only a key can be set"),
            ("CLAVIGER__STORES", "[]", "CLAVIGER__STORES: a list cannot be set by a variable"),
            ("CLAVIGER__STORES__0__NAME", "x", "CLAVIGER__STORES__0__NAME: a list cannot be set by a variable"),
            ("CLAVIGER__TICKETS__LIVE", "hunter2", "CLAVIGER__TICKETS__LIVE: must be a whole number"),
            ("CLAVIGER__TICKETS__LIVE", "-1", "CLAVIGER__TICKETS__LIVE: must be a whole number"),
            ("CLAVIGER__TICKETS__ON", "7", "CLAVIGER__TICKETS__ON: must be true or false"),
        ] {
            assert_eq!(apply(&[(variable, text)]), (Value::Null, vec![detail.to_owned()]));
        }
    }

    #[test]
    fn two_variables_for_one_key_are_a_fault() {
        let (_, faults) = apply(&[("CLAVIGER__TICKETS__LIVE", "1"), ("CLAVIGER__tickets__live", "2")]);
        assert_eq!(faults, ["CLAVIGER__tickets__live and CLAVIGER__TICKETS__LIVE both set it"]);
    }

    #[test]
    fn other_and_empty_variables_are_ignored() {
        let variables = [
            ("CLAVIGER_CONFIG", "x"),
            ("CLAVIGER_TICKETS__LIVE", "1"),
            ("PATH", "x"),
            ("é", "x"),
            ("CLAVIGER__TICKETS__STORE", ""),
        ];
        let (document, faults) = apply(&variables);
        assert_eq!((document, faults), (Value::Null, vec![]));
    }
}
