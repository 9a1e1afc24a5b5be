//! `encoding: base64`: a keystore stored as base64 is delivered as its bytes.

use crate::rig::oidc::{TestServer, allow};
use serde_json::{Value, json};

/// The magic number of a Java keystore, and bytes that are not UTF-8.
const KEYSTORE: &[u8] = b"\xfe\xed\xfe\xed\x00\x00\x00\x02\xff\x80\n";
const BASE64: &str = "/u3+7QAAAAL/\ngAo=\n";

fn server() -> TestServer {
    let secret = |path: &str| json!([{"store": "local", "path": path, "encoding": "base64"}]);
    let policy = |repo: &str| {
        let extra =
            json!({"repos": [repo], "secrets": secret(&format!("homelab/{repo}")), "delivery": ["ticket", "direct"]});
        (repo.to_owned(), allow(&[], &extra))
    };
    let policies: Vec<(String, Value)> = ["keystore", "text", "bad"].into_iter().map(policy).collect();
    let policies: Vec<_> = policies.iter().map(|(name, spec)| (name.as_str(), spec.clone())).collect();
    TestServer::start(
        &json!({
            "homelab/keystore": {"K": BASE64},
            "homelab/text": {"K": "aHVudGVyMg=="},
            "homelab/bad": {"BROKEN": "hunter2 is not base64", "K": "aGk="},
        }),
        &policies,
        &json!({}),
        &[],
    )
}

#[test]
fn bytes_arrive_as_they_are_and_text_formats_say_which_key_they_cannot_carry() {
    let server = server();
    let path = server.download_path_for("repo=keystore&branch=main");
    for format in ["export", "dotenv"] {
        let answer = server.download(&format!("{path}?format={format}"));
        assert_eq!((answer.status, answer.json()["code"].as_str()), (422, Some("unrenderable")), "{answer:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("\"K\""), "{answer:?}");
    }
    assert_eq!(server.download(&format!("{path}?format=raw")).body, KEYSTORE);
    let json = server.download(&format!("{}?format=json", server.download_path_for("repo=keystore&branch=main")));
    assert_eq!(json.json(), json!({"K": "/u3+7QAAAAL/gAo="}));
    let tar = server.download(&format!("{}?format=tar", server.download_path_for("repo=keystore&branch=main"))).body;
    assert_eq!(&tar[512..512 + KEYSTORE.len()], KEYSTORE);
    let text = server.download(&server.download_path_for("repo=text&branch=main"));
    assert_eq!(text.text(), "export K='hunter2'\n# claviger: 1 keys\n");
}

#[test]
fn an_invalid_base64_value_is_an_error_with_its_key_only() {
    let server = server();
    let refused = server.asks("repo=bad&branch=main");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (502, Some("store_misconfigured")), "{refused:?}");
    assert!(refused.json()["detail"].as_str().unwrap().contains("BROKEN"), "{refused:?}");
    assert!(!refused.text().contains("hunter2") && !server.log().contains("hunter2"));
    assert_eq!(server.asks("repo=bad&branch=main&keys=K").status, 201);
}
