//! Answers of Vault: only an explicit answer makes a secret missing, and a secret has exactly the values of the
//! JSON.
#![no_main]

use claviger::model::secret::SecretValue;
use claviger::stores::ReadError;
use claviger::stores::vault_fuzzing::{login, mount, own_token, secret};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::time::Duration;

const TEN_YEARS: u64 = 10 * 365 * 24 * 3600;

// The first byte selects the status; `0` is the first one.
fuzz_target!(|answer: &[u8]| {
    let Some((kind, body)) = answer.split_first() else { return };
    // The second parser has a depth limit; ours skips unread parts of any depth.
    if body.iter().filter(|byte| b"[{".contains(byte)).count() > 100 {
        return;
    }
    let status = [200, 403, 404, 400, 429, 500, 503, 204][usize::from(kind % 8)];
    let json = match serde_json::from_slice::<Value>(body) {
        Ok(json) => Some(json),
        // `Value` refuses half a surrogate pair and numbers beyond f64 everywhere; ours skips the parts that it does
        // not read, as any reader of serde does.
        Err(_) if serde_json::from_slice::<IgnoredAny>(body).is_ok() => return,
        Err(_) => None,
    };
    let at = |pointer: &str| json.as_ref().and_then(|json| json.pointer(pointer));
    for versioned in [false, true] {
        match secret(status, body, versioned) {
            Ok(lease) => {
                assert_eq!(status, 200);
                let data = at(if versioned { "/data/data" } else { "/data" }).and_then(Value::as_object);
                let data = data.expect("a second reader finds it too");
                assert_eq!(data.len(), lease.data.len());
                for (key, value) in &lease.data {
                    same(&data[key], value.as_ref());
                }
            }
            Err(ReadError::Absent) => {
                assert_eq!(status, 404);
                assert_eq!(at("/errors"), Some(&Value::Array(Vec::new())));
                assert!(at("/data").is_none_or(Value::is_null));
            }
            Err(ReadError::Deleted) => {
                assert!(status == 404 && versioned && at("/data/metadata").is_some_and(Value::is_object));
                assert!(at("/data/data").is_none_or(Value::is_null));
            }
            Err(ReadError::Forbidden) => assert_eq!(status, 403),
            Err(ReadError::Misconfigured) => assert_eq!(status, 404),
            Err(_) => {}
        }
    }
    if let Ok((token, life)) = login(status, body) {
        assert!(status == 200 && is_life(life));
        same(at("/auth/client_token").expect("a token"), Some(&token));
    }
    if let Ok(life) = own_token(status, body) {
        assert!(status == 200 && life.is_none_or(is_life));
    }
    if let Ok(url) = mount(status, body, "homelab/site/main") {
        assert_eq!(status, 200);
        let of = at("/data/path").and_then(Value::as_str).expect("a mount");
        assert!("homelab/site/main/".starts_with(of) && of.ends_with('/'));
        assert!(url.is_none_or(|url| url.starts_with(of)));
    }
});

const fn is_life(life: Duration) -> bool {
    life.as_secs() >= 1 && life.as_secs() <= TEN_YEARS
}

fn same(json: &Value, value: Option<&SecretValue>) {
    let text = value.map(SecretValue::expose_secret);
    match json {
        Value::Null => assert_eq!(text, None),
        Value::String(string) => assert_eq!(text, Some(string.as_str())),
        Value::Bool(truth) => assert_eq!(text, Some(truth.to_string().as_str())),
        // This parser does not keep the digits, so the numbers are compared.
        Value::Number(number) => {
            assert_eq!(text.and_then(|text| serde_json::from_str(text).ok()).as_ref(), Some(number))
        }
        Value::Array(_) | Value::Object(_) => {
            assert_eq!(text.and_then(|text| serde_json::from_str::<Value>(text).ok()).as_ref(), Some(json));
        }
    }
}
