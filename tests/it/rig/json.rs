//! JSON in tests.

use serde_json::Value;

/// Sets members of an object; `null` removes a member.
pub fn set_members(object: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(name)),
            value => object[name] = value.clone(),
        }
    }
}

/// The elements of an array; none for any other value.
pub fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
