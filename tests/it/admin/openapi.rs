//! The contract: generated, committed and served, with a documentation page.

use super::ApiUser;
use crate::rig::claviger::{Claviger, run};
use serde_json::Value;

const COMMITTED: &str = include_str!("../../../openapi/claviger.json");

#[test]
fn the_committed_contract_equals_the_generated_printed_and_served_one() {
    let (code, stdout, _) = run(&["openapi"]);
    assert_eq!(code, Some(0));
    assert!(stdout == COMMITTED, "openapi/claviger.json is stale: claviger openapi > openapi/claviger.json");
    let claviger = Claviger::sample();
    let served = claviger.send("GET", "/openapi.json", &[], b"");
    assert_eq!((served.status, served.header("content-type").as_deref()), (200, Some("application/json")));
    assert!(served.text() == COMMITTED);
}

#[test]
fn every_reference_resolves_and_every_route_is_documented() {
    let api: Value = serde_json::from_str(COMMITTED).unwrap();
    assert_eq!(api["openapi"], "3.1.0");
    let mut references = Vec::new();
    collect(&api, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(api.pointer(pointer).is_some(), "{reference}");
    }
    let claviger = Claviger::sample();
    let admin = ApiUser::admin(&claviger);
    for path in api["paths"].as_object().unwrap().keys() {
        let names = [("{name}", "sample"), ("{ticket}", "x"), ("{mount}", "jwt"), ("{path}", "claviger")];
        let target = names.iter().fold(path.clone(), |path, (name, value)| path.replace(name, value));
        let answer = admin.send("PATCH", &target, &[], b"");
        if target.starts_with("/v1/claviger/") {
            // Refused in the way in which Vault refuses a write.
            assert_eq!(answer.status, 403, "{path}");
            continue;
        }
        let allowed = answer.header("allow").unwrap_or_else(|| panic!("{path}: {answer:?}"));
        let documented = api["paths"][path].as_object().unwrap().keys().map(|method| method.to_uppercase());
        let mut documented: Vec<String> = documented.collect();
        let mut allowed: Vec<String> = allowed.split(", ").map(str::to_owned).collect();
        documented.sort();
        allowed.sort();
        assert_eq!(documented, allowed, "{path}");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            references.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

#[test]
fn the_documentation_page_has_a_content_security_policy() {
    let claviger = Claviger::sample();
    let page = claviger.send("GET", "/docs", &[], b"");
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert!(page.text().contains("fetch('/openapi.json')"));
}
