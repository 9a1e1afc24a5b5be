//! Overrides from the environment: `CLAVIGER__TICKETS__MAXTTL=10m` sets `tickets.maxTtl`.

use crate::document::{self, Fault, escape};
use serde_json::{Map, Value};

/// Prefix of every override, compared without case. `CLAVIGER_CONFIG` does not match it.
const PREFIX: &str = "CLAVIGER__";

/// A key that a variable sets.
pub(super) struct Override {
    /// The key as a JSON pointer.
    pub(super) pointer: String,
    /// The variable's name.
    pub(super) variable: String,
    keys: Vec<String>,
    value: Value,
}

/// The process's environment.
///
/// # Errors
/// Names the overrides whose values are not UTF-8.
#[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
pub(super) fn of_process() -> Result<Vec<(String, String)>, Vec<Fault>> {
    let mut variables = Vec::new();
    let mut faults = Vec::new();
    for (name, value) in std::env::vars_os() {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => variables.push((name, value)),
            (Ok(name), Err(_)) if path_of(&name).is_some() => {
                faults.push(Fault::new("", format!("{name}: must be UTF-8")));
            }
            _ => {}
        }
    }
    if faults.is_empty() { Ok(variables) } else { Err(faults) }
}

/// The proxy variables of other programs. They are not used here.
pub(super) fn proxies(environment: &[(String, String)]) -> Vec<&str> {
    const NAMES: [&str; 3] = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"];
    let is_one = |name: &str| NAMES.iter().any(|proxy| name == *proxy || name == proxy.to_ascii_lowercase());
    let set = environment.iter().filter(|(name, value)| !value.is_empty() && is_one(name));
    set.map(|(name, _)| name.as_str()).collect()
}

/// Finds the overrides among the variables. `sections` holds every key; the default determines the type of the
/// value.
pub(super) fn overrides(
    sections: &Value,
    environment: impl Iterator<Item = (String, String)>,
) -> (Vec<Override>, Vec<Fault>) {
    let mut found: Vec<Override> = Vec::new();
    let mut faults = Vec::new();
    for (variable, text) in environment {
        let Some(path) = path_of(&variable) else { continue };
        match read(sections, path, &text) {
            Ok((keys, value)) => {
                let pointer = keys.iter().fold(String::new(), |pointer, key| pointer + "/" + &escape(key));
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
    /// Writes the value into a document. If a scalar replaces a section, decoding reports it.
    pub(super) fn write_into(&self, document: &mut Value) {
        if !self.value.is_null()
            && let Some(place) = self.keys.iter().try_fold(document, |place, key| child(place, key))
        {
            *place = self.value.clone();
        }
    }
}

fn child<'a>(parent: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    if parent.is_null() {
        *parent = Value::Object(Map::new());
    }
    Some(parent.as_object_mut()?.entry(key).or_insert(Value::Null))
}

/// The text after the prefix.
fn path_of(variable: &str) -> Option<&str> {
    let (prefix, path) = variable.split_at_checked(PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then_some(path)
}

fn read(sections: &Value, path: &str, text: &str) -> Result<(Vec<String>, Value), &'static str> {
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
    Ok((keys, typed(default, text)?))
}

/// A YAML scalar, read as the type of the key's default. An empty text is null, which sets nothing.
fn typed(default: &Value, text: &str) -> Result<Value, &'static str> {
    match default {
        Value::Object(_) => Err("this is a section, and only a key can be set"),
        Value::Array(_) => Err("a list cannot be set by a variable"),
        _ if text.is_empty() => Ok(Value::Null),
        Value::Bool(_) => scalar(text).filter(Value::is_boolean).ok_or("must be true or false"),
        Value::Number(_) => scalar(text).filter(Value::is_u64).ok_or("must be a whole number"),
        Value::String(_) | Value::Null => Ok(Value::String(text.to_owned())),
    }
}

fn scalar(text: &str) -> Option<Value> {
    document::parse(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn apply(variables: &[(&str, &str)]) -> (Value, Vec<String>) {
        let sections = json!({"tickets": {"maxTtl": "15m", "live": 64, "on": true, "store": null}, "stores": []});
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let (overrides, faults) = overrides(&sections, environment);
        let mut document = Value::Null;
        for one in &overrides {
            one.write_into(&mut document);
        }
        (document, faults.into_iter().map(|fault| fault.detail).collect())
    }

    #[test]
    fn a_variable_sets_the_key_it_names_in_any_case_and_with_the_keys_type() {
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
    fn a_variable_that_sets_no_key_is_a_fault_that_names_it() {
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
    fn other_variables_and_empty_ones_set_nothing() {
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
