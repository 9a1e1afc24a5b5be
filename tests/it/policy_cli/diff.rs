//! `claviger policy diff`: the audit log's requests against changed policies.

use crate::rig::claviger::{manifest, run};
use crate::rig::oidc::{TestServer, allow};
use serde_json::{Value, json};
use std::fs;

struct Server {
    test_server: TestServer,
}

impl Server {
    /// Two callers who are allowed, one who is denied, and one whose claims decide.
    fn start() -> Self {
        let secrets =
            json!({"homelab/site/main": {"TOKEN": "s"}, "homelab/shop/main": {"TOKEN": "s"}, "extra/site": {"M": "m"}});
        let role = |role: &str| json!([{"oidc": {"issuer": "ci", "claims": {"role": role}}}]);
        let test_server = TestServer::start(
            &secrets,
            &[
                ("extra", allow(&["extra/{repo}"], &json!({"repos": ["site"]}))),
                ("site", allow(&["homelab/{repo}/{branch}"], &json!({"repos": ["site", "shop"]}))),
                (
                    "other",
                    allow(&["homelab/{repo}/{branch}"], &json!({"subjects": role("other"), "repos": ["hidden"]})),
                ),
            ],
            &json!({"administrators": {"static": [{"authenticator": "ci", "claims": {"role": "admin"}}]}}),
            &[],
        );
        fs::write(
            test_server.claviger.folder.path().join("admin"),
            test_server.issuer.token(&json!({"role": "admin"})),
        )
        .unwrap();
        for form in ["repo=site&branch=main", "repo=site&branch=main", "repo=shop&branch=main"] {
            assert_eq!(test_server.asks(form).status, 201);
        }
        assert_eq!(test_server.asks("repo=secret&branch=main").status, 403);
        Self { test_server }
    }

    fn diff(&self, policies: &[(&str, Value)], more: &[&str]) -> (Option<i32>, String, String) {
        let at = |name: &str| self.test_server.claviger.folder.path().join(name).display().to_string();
        let server = format!("http://{}", self.test_server.claviger.api);
        let (token, new) = (at("admin"), at("new.yaml"));
        let documents: Vec<String> = policies.iter().map(|(name, spec)| manifest(name, spec)).collect();
        fs::write(&new, documents.join("\n---\n")).unwrap();
        let file: &[&str] = if policies.is_empty() { &[] } else { &["--file", &new] };
        let fixed = ["policy", "diff", "--server", &server, "--token-file", &token];
        run(&[&fixed[..], file, more].concat())
    }
}

#[test]
fn gains_and_losses_of_callers_are_printed_and_set_the_exit_code() {
    let server = Server::start();
    let site = |extra: Value| ("site", allow(&["homelab/{repo}/{branch}"], &extra));
    let both = json!({"repos": ["site", "shop"]});

    // The same policy again.
    let (code, printed, said) = server.diff(&[site(both.clone())], &[]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{printed}");
    assert_eq!(printed, "4 requests replayed, 0 differ\n");

    // One repo fewer: who built it loses it.
    let (code, printed, _) = server.diff(&[site(json!({"repos": ["site"]}))], &["--since", "7d"]);
    assert_eq!(code, Some(1), "{printed}");
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("build-1 for shop main: would be denied (1 requests, last "), "{printed}");
    assert_eq!(lines[1..], ["  - local:homelab/shop/main", "4 requests replayed, 1 differ"]);

    // One secret more, and a repo more: whether who was denied it is its subject is a claim.
    let wider = allow(&["homelab/{repo}/{branch}", "extra/{repo}"], &json!({"repos": ["shop", "secret", "site"]}));
    let (code, printed, _) = server.diff(&[("site", wider)], &["--output", "json"]);
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, &printed["replayed"]), (Some(1), &json!(3)), "{printed}");
    let unknown = "policy site needs claims or facts that the log does not hold";
    assert_eq!(printed["notReplayed"], json!({unknown: 1}));
    let difference = &printed["differences"][0];
    assert_eq!((&difference["repo"], &difference["requests"]), (&json!("shop"), &json!(1)), "{printed}");
    assert_eq!((&difference["gained"], &difference["lost"]), (&json!(["local:extra/shop"]), &json!([])), "{printed}");
    assert_eq!(printed["differences"].as_array().unwrap().len(), 1, "{printed}");

    // A deletion, and a deny.
    let (code, printed, _) = server.diff(&[], &["--delete", "extra"]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("build-1 for site main: would get other secrets (2 requests"), "{printed}");
    assert!(printed.contains("\n  - local:extra/site\n"), "{printed}");
    let mut deny = allow(&[], &json!({"effect": "deny", "repos": ["shop"]}));
    deny.as_object_mut().unwrap().remove("secrets");
    let (code, printed, said) = server.diff(&[("stop", deny.clone())], &[]);
    // Whether the caller is its subject is a claim, which the log does not hold. No difference was found, but there may be one.
    assert_eq!(code, Some(2), "{printed}");
    assert!(said.starts_with("claviger: 1 requests were not replayed because of a changed policy: "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        printed.contains("not replayed: 1 requests: policy stop needs claims or facts that the log does not hold\n")
    );
    assert!(printed.ends_with("3 requests replayed, 0 differ\n"), "{printed}");
    // One for another branch is known not to match, and one in shadow mode changes nothing.
    deny["branches"] = json!(["release"]);
    assert_eq!(server.diff(&[("stop", deny.clone())], &[]).0, Some(0));
    deny["branches"] = json!(["**"]);
    deny["mode"] = json!("audit");
    assert_eq!(server.diff(&[("stop", deny)], &[]).0, Some(0));

    // Bounded. What is not replayed for another reason than the change does not count as a failure.
    let (code, printed, said) = server.diff(&[site(both)], &["--limit", "1"]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{printed}");
    assert!(printed.contains("not replayed: 2 requests: beyond --limit\n"), "{printed}");
}

#[test]
fn a_replay_that_fails_is_exit_code_2() {
    let server = Server::start();
    let (code, printed, said) = server.diff(&[("site", json!({"repos": "site"}))], &[]);
    assert_eq!((code, printed.as_str()), (Some(2), ""), "{said}");
    assert!(said.contains("spec.repos"), "{said}");
    let (code, _, said) = server.diff(&[], &["--delete", "nobody"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("the server has no policy nobody"), "{said}");
    let good = [("extra", allow(&["extra/{repo}"], &json!({})))];
    let token = server.test_server.claviger.folder.path().join("admin");
    fs::write(&token, server.test_server.issuer.token(&json!({}))).unwrap();
    let (code, _, said) = server.diff(&good, &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("denied"), "{said}");
}
