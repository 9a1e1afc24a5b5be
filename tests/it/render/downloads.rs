//! The formats over HTTP: the key that `raw` returns, and refusals, which consume no ticket.

use super::bundles::hostile_values;
use crate::rig::claviger::{Claviger, Dev};
use serde_json::{Map, Value, json};

/// Values that a YAML file can contain.
fn values() -> Vec<String> {
    hostile_values().into_iter().filter(|value| !value.contains(|c| matches!(c, '\u{7f}'..='\u{9f}'))).collect()
}

fn claviger() -> Claviger {
    let values = values().into_iter().enumerate();
    let hostile: Map<String, Value> = values.map(|(index, value)| (format!("K{index}"), value.into())).collect();
    let login = json!({"NETRC_MACHINE": "git.example", "NETRC_LOGIN": "me", "NETRC_PASSWORD": "it's"});
    Claviger::dev(&Dev {
        secrets: Some(json!({"builds/hostile": hostile, "builds/login": login, "builds/one": {"key é.pem": "x\n"}})),
        policies: &[(
            "all",
            json!({
                "subjects": [{"oidc": {"issuer": "dev", "claims": {"role": "build"}}}],
                "repos": ["**"],
                "branches": ["**"],
                "secrets": [{"store": "local", "path": "builds/{repo}"}],
            }),
        )],
        ..Dev::default()
    })
}

#[test]
fn raw_gives_one_value_and_no_refusal_consumes_the_ticket() {
    let claviger = claviger();
    let url = claviger.ticket("hostile", "main");
    for (query, status, code) in [
        ("format=raw", 400, "invalid_request"),
        ("format=raw&key=", 400, "invalid_request"),
        ("format=raw&key=K0&key=K1", 400, "invalid_request"),
        ("key=K0", 400, "invalid_request"),
        ("format=tar&key=K0", 400, "invalid_request"),
        ("format=raw&key=ABSENT", 404, "secret_not_found"),
        ("format=netrc", 422, "unrenderable"),
        ("format=npmrc", 422, "unrenderable"),
        ("format=docker-config", 422, "unrenderable"),
    ] {
        let answer = claviger.download(&format!("{url}?{query}"));
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{query}");
        assert!(!answer.text().contains("ABSENT"), "{query}");
    }
    let answer = claviger.download(&format!("{url}?format=raw&key=K1"));
    assert_eq!((answer.status, answer.text().as_str()), (200, values()[1].as_str()));
    assert_eq!(answer.header("content-type").as_deref(), Some("application/octet-stream"));
    assert_eq!(claviger.download(&format!("{url}?format=raw&key=K1")).status, 410);
}

#[test]
fn every_value_comes_back_raw() {
    let claviger = claviger();
    for (index, value) in values().into_iter().enumerate() {
        let answer = claviger.download(&format!("{}?format=raw&key=K{index}", claviger.ticket("hostile", "main")));
        assert_eq!((answer.status, answer.body), (200, value.into_bytes()));
    }
    let url = claviger.ticket("one", "main");
    let answer = claviger.send("GET", &url, &[("Accept", "application/octet-stream")], b"");
    assert_eq!((answer.status, answer.text().as_str()), (200, "x\n"), "the only key needs no name");
    let answer = claviger.download(&format!("{}?format=raw&key=key+%C3%A9.pem", claviger.ticket("one", "main")));
    assert_eq!((answer.status, answer.text().as_str()), (200, "x\n"));
}

#[test]
fn an_empty_bundle_is_empty_in_every_format() {
    let claviger = claviger();
    for (format, length) in [("raw", 0), ("tar", 1024), ("docker-config", 0), ("npmrc", 0), ("netrc", 0)] {
        let answer = claviger.download(&format!("{}?format={format}", claviger.ticket("nothing", "main")));
        assert_eq!((answer.status, answer.body.len()), (200, length), "{format}");
    }
    let url = claviger.ticket("nothing", "main");
    let answer = claviger.download(&format!("{url}?format=raw&key=A"));
    assert_eq!((answer.status, answer.code().as_str()), (404, "secret_not_found"));
    assert_eq!(claviger.download(&url).status, 200, "the ticket was consumed");
}

#[test]
fn a_login_and_an_archive_come_as_files() {
    let claviger = claviger();
    let answer = claviger.download(&format!("{}?format=netrc", claviger.ticket("login", "main")));
    assert_eq!((answer.status, answer.text().as_str()), (200, "machine git.example login me password it's\n"));
    let answer = claviger.send("GET", &claviger.ticket("login", "main"), &[("Accept", "application/x-tar")], b"");
    assert_eq!((answer.status, answer.body.len()), (200, 512 * 8));
    assert_eq!(answer.header("content-type").as_deref(), Some("application/x-tar"));
}
