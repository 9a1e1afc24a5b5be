//! Bodies of `POST /v1/tickets` and `POST /v1/secrets`: JSON and forms are parsed strictly and with the same
//! meaning.
#![no_main]

use claviger::http::fuzzing::{form, secrets_json, ticket_json};
use claviger::wire::ticket::SecretsRequest;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const FIELDS: [&str; 6] = ["repo", "branch", "ttl", "keys", "required", "format"];

fuzz_target!(|body: &[u8]| {
    let whole = secrets_json(body);
    if let Some(request) = &whole {
        // A second parser finds the same members and no others.
        let Ok(Value::Object(members)) = serde_json::from_slice(body) else { panic!("it is no object") };
        assert!(members.keys().all(|name| FIELDS.contains(&name.as_str())) && !members.values().any(Value::is_null));
        assert_eq!(serde_json::to_value(request).expect("JSON"), Value::Object(members));
        agrees(request);
    }
    if let Some(ticket) = ticket_json(body) {
        assert_eq!(whole.map(SecretsRequest::into_parts), Some((ticket, None)), "what is a ticket's is no format");
    }
    if let Some(request) = form(body) {
        assert!(body.is_ascii() || std::str::from_utf8(body).is_ok());
        agrees(&request);
    }
});

/// Written in either form, it is parsed as the same request.
fn agrees(request: &SecretsRequest) {
    let json = serde_json::to_vec(request).expect("JSON");
    assert_eq!(secrets_json(&json).as_ref(), Some(request));
    let keys = request.keys.as_ref();
    // A form cannot express these.
    if keys.is_some_and(|keys| keys.is_empty() || keys.iter().any(|key| key.contains(','))) {
        return;
    }
    let keys = keys.map(|keys| keys.join(","));
    let required = request.required.map(|required| required.to_string());
    let texts = [&request.repo, &request.branch, &request.ttl, &keys, &required, &request.format];
    let pairs = FIELDS.iter().zip(texts).filter_map(|(name, text)| Some(format!("{name}={}", encoded(text.as_ref()?))));
    assert_eq!(form(pairs.collect::<Vec<_>>().join("&").as_bytes()).as_ref(), Some(request));
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}
