//! Answers of Azure and Google: only their own JSON makes a secret absent, and a secret is what is in the JSON.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger::config::value_format::ValueFormat;
use claviger::model::secret::Secret;
use claviger::stores::ReadError;
use claviger::stores::{azure_fuzzing, gcp_fuzzing};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::time::Duration;

const DAY: u64 = 24 * 3600;

// The first byte chooses the status, `0` the first one.
fuzz_target!(|answer: &[u8]| {
    let Some((kind, body)) = answer.split_first() else { return };
    // The second reader has a bound of depth, and ours skips what it does not read at any.
    if body.iter().filter(|byte| b"[{".contains(byte)).count() > 100 {
        return;
    }
    let status = [200, 404, 403, 400, 401, 429, 500, 204][usize::from(kind % 8)];
    let now = "2026-11-29T12:00:00Z".parse().expect("a time");
    let Ok(json) = serde_json::from_slice::<Value>(body) else {
        // The second reader also looks at numbers and escapes that ours skips, so there is nothing to compare.
        let _ = azure_fuzzing::secret(status, body, "homelab--a", "homelab/a", ValueFormat::Object, now);
        let _ = gcp_fuzzing::secret(status, body, "homelab__a", "homelab/a", ValueFormat::Object);
        let _ = (azure_fuzzing::login(status, body), gcp_fuzzing::exchange(status, body));
        return;
    };
    let at = |pointer: &str| json.pointer(pointer).and_then(Value::as_str);

    for form in [ValueFormat::Object, ValueFormat::Text] {
        match azure_fuzzing::secret(status, body, "homelab--a", "homelab/a", form, now) {
            Ok(secret) => {
                let id = at("/id").expect("an id").to_ascii_lowercase();
                assert!(status == 200 && id.contains("/secrets/homelab--a/"));
                same(&secret, at("/value").expect("a value").as_bytes(), form);
            }
            Err(ReadError::Absent) => assert_eq!((status, at("/error/code")), (404, Some("SecretNotFound"))),
            Err(ReadError::Deleted) => assert!(status == 200 || at("/error/innererror/code") == Some("SecretDisabled")),
            Err(ReadError::Forbidden) => assert!(matches!(status, 401 | 403)),
            Err(_) => {}
        }
        match gcp_fuzzing::secret(status, body, "homelab__a", "homelab/a", form) {
            Ok(secret) => {
                assert!(status == 200 && at("/name").expect("a name").contains("/secrets/homelab__a/versions/"));
                let data = at("/payload/data").unwrap_or_default();
                same(&secret, &STANDARD.decode(data).expect("base64"), form);
            }
            Err(ReadError::Absent) => assert_eq!((status, at("/error/status")), (404, Some("NOT_FOUND"))),
            Err(ReadError::Deleted) => assert_eq!((status, at("/error/status")), (400, Some("FAILED_PRECONDITION"))),
            Err(ReadError::Forbidden) => assert!(matches!(status, 401 | 403)),
            Err(_) => {}
        }
    }
    if let Ok((token, life)) = azure_fuzzing::login(status, body) {
        assert!(status == 200 && is_life(life));
        assert_eq!(at("/access_token"), Some(token.expose_secret()));
    }
    if let Ok((header, life)) = gcp_fuzzing::exchange(status, body) {
        assert!(status == 200 && is_life(life) && header.is_sensitive());
        assert_eq!(header.as_bytes().strip_prefix(b"Bearer "), at("/access_token").map(str::as_bytes));
    }
    if let Some((header, life)) = gcp_fuzzing::parse_impersonation(body, now) {
        assert!(is_life(life) && header.is_sensitive());
        assert_eq!(header.as_bytes().strip_prefix(b"Bearer "), at("/accessToken").map(str::as_bytes));
    }
});

const fn is_life(life: Duration) -> bool {
    life.as_secs() >= 1 && life.as_secs() <= DAY
}

fn same(secret: &Secret, text: &[u8], form: ValueFormat) {
    let value = |key: &str| secret.data[key].as_ref().map(|value| value.expose_secret().as_bytes());
    if form == ValueFormat::Text {
        assert_eq!((secret.data.len(), value("a")), (1, Some(text)));
        return;
    }
    // As above: our reader keeps the digits of a number that this one cannot hold.
    let Ok(object) = serde_json::from_slice::<Value>(text) else { return };
    let object = object.as_object().expect("an object");
    assert_eq!(object.len(), secret.data.len());
    for (key, json) in object {
        match json {
            Value::Null => assert_eq!(value(key), None),
            Value::String(string) => assert_eq!(value(key), Some(string.as_bytes())),
            _ => assert!(value(key).is_some()),
        }
    }
}
