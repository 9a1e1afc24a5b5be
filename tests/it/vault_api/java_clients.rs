//! Java clients of Vault over TLS with a private CA: Spring Cloud Vault and the jopenlibs driver. Both hide many errors.

use super::server_with;
use crate::rig::oidc::TestServer;
use crate::rig::vault_client::{CertificateAuthority, run_java};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger::model::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use std::fs;

struct Setup {
    server: TestServer,
    authority: CertificateAuthority,
    token: String,
}

impl Setup {
    fn new(mut config: Value) -> Self {
        let authority = CertificateAuthority::new();
        config["server"] = authority.server_section();
        let server = server_with(&config);
        let token = server.issuer.token(&json!({}));
        for (name, jwt) in [
            ("jwt", format!("{token}\n")),
            ("garbage", "garbage".to_owned()),
            ("short", server.issuer.token(&json!({"exp": SystemClock.now().as_second() + 20}))),
        ] {
            fs::write(authority.path(name), jwt).unwrap();
        }
        Self { server, authority, token }
    }

    fn down() -> Self {
        Self::new(json!({
            "stores": [{"name": "local", "vault": {"address": "http://127.0.0.1:9", "auth": {"tokenFile": "/dev/null"}}}],
        }))
    }

    /// The path of a token's file.
    fn jwt(&self, name: &str) -> String {
        self.authority.path(name).display().to_string()
    }

    /// Runs the program of this folder. Returns the line that it prints for each of these lines.
    fn prints(&self, folder: &str, token: &str, lines: &[String]) -> Vec<String> {
        let file = self.authority.path("lines");
        fs::write(&file, lines.join("\n")).unwrap();
        let ran = run_java(folder, &self.server, &self.authority, token, &file);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(!ran.stderr.contains("s3cret"), "{ran:?}");
        let printed: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
        assert_eq!(printed.len(), lines.len(), "{ran:?}");
        printed
    }

    fn spring(&self, token: &str, lines: &[String]) -> Vec<Value> {
        self.prints("spring", token, lines).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
fn spring_reads_and_hides_errors_without_fail_fast() {
    let setup = Setup::new(json!({}));
    let (jwt, garbage, short) = (setup.jwt("jwt"), setup.jwt("garbage"), setup.jwt("short"));
    let lines = [
        format!("site/main {jwt} true"),
        "site/main - true".to_owned(),
        format!("apps~site/feature~x=402 {jwt} true"),
        format!("empty/main {jwt} true"),
        format!("other/main {jwt} false"),
        format!("other/main {jwt} true"),
        format!("apps/site/feature/x {jwt} true"),
        format!("site/main {garbage} false"),
        format!("site/main {garbage} true"),
        format!("site/main {short} true"),
        format!("apps/site/feature/x {jwt} false"),
        format!("site/main {short} false"),
    ];
    let printed = setup.spring(&setup.token, &lines);
    let values =
        json!({"TOKEN": "s3cret", "NUMBER": "12", "TRUE": "true", "LINES": "a\nb\n", "QUOTE": "\"\\$`\u{202e}é"});
    assert_eq!((&printed[0]["started"], &printed[1]["started"]), (&values, &values));
    assert_eq!(printed[2]["started"], json!({"TOKEN": "odd"}));
    for (place, what) in [
        (3, "nothing there, although it is to fail fast"),
        (4, "denied"),
        (7, "a bad token"),
        (10, "another spelling"),
        (11, "a token about to end"),
    ] {
        assert_eq!(printed[place]["started"], json!({}), "{what}: {}", printed[place]);
    }
    for (place, text) in
        [(5, "denied: "), (6, "apps~site/feature~x"), (8, "unauthenticated: "), (9, "valid for less than 30 s")]
    {
        assert!(printed[place]["failed"].is_string(), "{}: {}", lines[place], printed[place]);
        assert!(printed[place]["text"].as_str().unwrap().contains(text), "{}: {}", lines[place], printed[place]);
    }
    let down = Setup::down();
    let lines = ["true", "false"].map(|fail_fast| format!("site/main - {fail_fast}"));
    let printed = down.spring(&down.token, &lines);
    assert!(printed[0]["text"].as_str().unwrap().contains("store_unavailable: "), "{printed:?}");
    assert_eq!(printed[1]["started"], json!({}), "the application starts without values");
}

#[test]
fn jopenlibs_reads_and_returns_an_empty_map_for_what_is_refused() {
    let setup = Setup::new(json!({}));
    let lines = [
        format!("login {}", setup.jwt("jwt")),
        "read site/main".to_owned(),
        "read apps~site/feature~x=402".to_owned(),
        "read empty/main".to_owned(),
        "read other/main".to_owned(),
        "read apps/site/feature/x".to_owned(),
        format!("login {}", setup.jwt("garbage")),
        format!("login {}", setup.jwt("short")),
    ];
    let printed = setup.prints("jopenlibs", &setup.token, &lines);
    assert_eq!(printed[0], format!("200 token={}", setup.token));
    let value = |name: &str, value: &str| format!("{name}={}", STANDARD.encode(value));
    let values = [
        value("LINES", "a\nb\n"),
        value("NUMBER", "12"),
        value("QUOTE", "\"\\$`\u{202e}é"),
        value("TOKEN", "s3cret"),
        value("TRUE", "true"),
    ];
    assert_eq!(printed[1], format!("200 values: {}", values.join(" ")));
    assert_eq!(printed[2], format!("200 values: {}", value("TOKEN", "odd")));
    // There is no exception: only the status shows the error.
    assert_eq!(printed[3..6], ["404 values:", "403 values:", "400 values:"]);
    for (place, text) in [(6, "unauthenticated: "), (7, "valid for less than 30 s")] {
        assert!(
            printed[place].starts_with("VaultException 403 ") && printed[place].contains(text),
            "{}",
            printed[place]
        );
    }
    let bad = setup.prints("jopenlibs", "garbage", &["read site/main".to_owned()]);
    assert_eq!(bad, ["403 values:"]);
    let down = Setup::down();
    let printed = down.prints("jopenlibs", &down.token, &["read site/main".to_owned()]);
    assert!(printed[0].starts_with("VaultException 503 ") && printed[0].contains("store_unavailable: "), "{printed:?}");
}
