//! Canaries: values, tokens and tickets are nowhere but where they belong, with everything logged that can be.

use crate::rig::claviger::download_path;
use crate::rig::http::request;
use crate::rig::oidc::{Edge, allow};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

const CANARIES: usize = 32;

/// A value that looks different in every encoding.
fn canary(number: usize) -> String {
    format!(
        "canary-{number:02}-\"{:016x}\"/?<é>\n{}",
        0x9e37_79b9_7f4a_7c15u64.wrapping_mul(number as u64 + 1),
        "x~".repeat(4)
    )
}

fn encodings(secret: &str) -> Vec<String> {
    let mut hex = String::new();
    let mut url = String::new();
    for byte in secret.bytes() {
        write!(hex, "{byte:02x}").unwrap();
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            write!(url, "%{byte:02X}").unwrap();
        }
    }
    let json = json!(secret).to_string();
    let mut all = vec![
        secret.to_owned(),
        hex.to_uppercase(),
        hex,
        url.to_lowercase(),
        url,
        json.trim_matches('"').to_owned(),
        format!("{secret:?}").trim_matches('"').to_owned(),
    ];
    // Wherever the value begins in a longer text that is encoded, this much of its middle is the same.
    for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
        all.push(engine.encode(secret));
        for shift in 1..3 {
            let shifted = engine.encode(format!("{}{secret}", "x".repeat(shift)));
            all.push(shifted[4..shifted.len() - 4].to_owned());
        }
    }
    all
}

/// Everything that is told or kept, as text: what is none in a database file breaks no text beside it.
fn places(edge: &Edge) -> Vec<(String, String)> {
    let mut places = vec![
        ("/metrics".to_owned(), request(edge.ops, "GET", "/metrics", &[], b"").text()),
        ("stdout".to_owned(), edge.stdout()),
        ("stderr".to_owned(), edge.log()),
    ];
    for entry in std::fs::read_dir(edge.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("claviger.db") {
            places.push((name, String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()));
        }
    }
    places
}

#[test]
fn no_secret_is_told_anywhere_with_everything_logged() {
    let secrets: Map<String, Value> =
        (0..CANARIES).map(|n| (format!("homelab/site/b{n}"), json!({format!("KEY_{n}"): canary(n)}))).collect();
    let policies = [("p", allow(&["homelab/{repo}/{branch}"], &json!({})))];
    let edge = Edge::start(&secrets.into(), &policies, &json!({}), &[("CLAVIGER__TELEMETRY__LOGLEVEL", "trace")]);
    let mut told: Vec<String> = (0..CANARIES).flat_map(|n| encodings(&canary(n))).collect();
    for n in 0..CANARIES {
        let token = edge.issuer.token(&json!({}));
        let issued = edge.ask(&token, &format!("repo=site&branch=b{n}"));
        let path = download_path(&issued);
        // On every way: refused, unrenderable or not, served, served again, and left lying.
        edge.download(&format!("{path}?format=bad"));
        edge.download(&format!("{path}?format=dotenv"));
        if n % 2 == 0 {
            let answer = edge.download(&format!("{path}?format=json"));
            assert!(answer.status == 410 || answer.json()[format!("KEY_{n}")] == canary(n), "{answer:?}");
            edge.download(&path);
        }
        let (id, key) = path.rsplit('/').next().unwrap().split_once('.').unwrap();
        told.extend([id.to_owned(), key.to_owned(), token.rsplit('.').next().unwrap().to_owned()]);
    }
    // Bad requests carry secrets too.
    let stray = edge.issuer.token(&json!({"aud": "other"}));
    edge.ask(&stray, "repo=site&branch=main");
    edge.asks_json(r#"{"repo":"site","branch":"main","password":"hunter2-hunter2"}"#);
    edge.asks("repo=site&branch=main&password=hunter2-hunter2");
    edge.send("GET", "/v1/downloads/hunter2-hunter2?token=hunter2-hunter2", &[("Cookie", "hunter2-hunter2")], b"");
    told.extend([stray.rsplit('.').next().unwrap().to_owned(), "hunter2-hunter2".to_owned()]);

    let places = places(&edge);
    assert!(places.iter().any(|(name, text)| name == "claviger.db-wal" && text.len() > 1000), "the WAL is read");
    let mut hits = Vec::new();
    for text in &told {
        hits.extend(places.iter().filter(|(_, told)| told.contains(text)).map(|(name, _)| format!("{text} in {name}")));
    }
    assert!(hits.is_empty(), "{hits:#?}");
    // The search finds what is there.
    assert!(places[2].1.contains("claviger answers"));
    assert!(places[1].1.contains("KEY_31") && places[1].1.contains("homelab/site/b31"));
}
