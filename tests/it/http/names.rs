//! Hostile repos and branches, end to end: each is refused, or maps to exactly one path.

use super::assert_problem;
use crate::rig::claviger::download_path;
use crate::rig::http::percent_encode;
use crate::rig::oidc::{TestServer, allow};
use serde_json::{Value, json};

/// The path segment for a name, by the rule of the policy language.
fn segment(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'/' => "~".to_owned(),
            b if b.is_ascii_alphanumeric() || b"._-".contains(&b) => char::from(b).to_string(),
            b => format!("={b:02X}"),
        })
        .collect()
}

#[test]
fn a_valid_branch_is_opaque_and_reaches_only_its_own_secret() {
    let legal = [
        "main",
        "main$(id)",
        "a`id`b",
        "a;id",
        "%2e%2e",
        "a%2fb",
        "+",
        "refs/heads/main",
        "feature/x",
        "feature=2Fx",
        "m\u{202e}ain",
        "m\u{430}in",
        "caf\u{e9}",
        "cafe\u{301}",
        "MAIN",
        "mai\u{200b}n",
        "a&b=c",
        "a#b",
        "{repo}",
        "a'b\"c",
        "x.LOCK",
        "@x",
        "\u{1f511}",
    ];
    let secrets: serde_json::Map<String, Value> = legal
        .iter()
        .enumerate()
        .map(|(number, branch)| (format!("homelab/site/{}", segment(branch)), json!({"WHICH": number.to_string()})))
        .collect();
    assert_eq!(secrets.len(), legal.len(), "each name has its own secret");
    let server =
        TestServer::start(&secrets.into(), &[("p", allow(&["homelab/{repo}/{branch}"], &json!({})))], &json!({}), &[]);
    for (number, branch) in legal.iter().enumerate() {
        let form = percent_encode(branch);
        let by_form = server.asks(&format!("repo=site&branch={form}"));
        let by_json = server.asks_json(&json!({"repo": "site", "branch": branch}).to_string());
        for answer in [by_form, by_json] {
            assert_eq!(answer.status, 201, "{branch:?}: {answer:?}");
            let bundle = server.download(&download_path(&answer)).text();
            assert_eq!(bundle, format!("export WHICH='{number}'\n# claviger: 1 keys\n"), "{branch:?}");
        }
    }
    // The longest name; keys of the file store cannot be as long.
    let longest = server.download_path_for(&format!("repo=site&branch={}", "b".repeat(1024)));
    assert_eq!(server.download(&longest).body, b"");
    // One event on one line, with the exact name.
    let events = server.audit_events();
    for branch in legal {
        assert!(events.iter().any(|event| event["branch"] == branch && event["outcome"] == "ok"), "{branch:?}");
    }
    let printed = server.stdout();
    assert!(printed.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{printed}");
    for line in printed.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn an_illegal_branch_is_422() {
    let server = TestServer::with_one_secret();
    let too_long = "b".repeat(1025);
    for branch in [
        "",
        "HEAD",
        "-rf",
        "--upload-pack=x",
        "a//b",
        "/a",
        "a/",
        "/",
        "x.lock",
        "x.lock/y",
        "a@{b",
        "a..b",
        "..",
        ".",
        ".a",
        "a/.b",
        "a.",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "*",
        "a[b]",
        "a\\b",
        "a\0b",
        "a\nb",
        "main\r",
        "a\tb",
        "a\u{7f}",
        "\u{1b}[2J",
        too_long.as_str(),
    ] {
        let answer = server.asks_json(&json!({"repo": "site", "branch": branch}).to_string());
        assert_problem(&answer, 422, "invalid_branch");
        // An answer never contains a name.
        assert!(branch.len() < 5 || !answer.text().contains(branch), "{answer:?}");
    }
    assert_eq!(server.asks_json(r#"{"repo":"site","branch":"main"}"#).status, 201);
}

#[test]
fn an_illegal_repo_is_422() {
    let server = TestServer::with_one_secret();
    let too_long = "r".repeat(257);
    for repo in [
        "",
        ".",
        "..",
        "/",
        "/site",
        "site/",
        "a//b",
        "../site",
        "a/../site",
        "a/./b",
        "a/..",
        "site\0",
        "site\n",
        "si  te",
        " site",
        "a/site ",
        "site$(id)",
        "%2e%2e",
        "a=2F",
        "s\u{456}te",
        "\u{202e}etis",
        "a\\b",
        "{branch}",
        "*",
        too_long.as_str(),
    ] {
        let answer = server.asks_json(&json!({"repo": repo, "branch": "main"}).to_string());
        assert_problem(&answer, 422, "invalid_repo");
    }
    for repo in ["site", "a/b/c", "a.b-c_d", "...", "~jdoe/site", "My Project/site", "@a/b+c", &"r".repeat(256)] {
        assert_eq!(server.asks_json(&json!({"repo": repo, "branch": "main"}).to_string()).status, 201, "{repo}");
    }
}

#[test]
fn no_repo_and_branch_can_be_split_in_two_ways() {
    let secrets = json!({"homelab/a~b/c": {"K": "a/b + c"}, "homelab/a/b~c": {"K": "a + b/c"}});
    let server =
        TestServer::start(&secrets, &[("p", allow(&["homelab/{repo}/{branch}"], &json!({})))], &json!({}), &[]);
    for (repo, branch, value) in [("a/b", "c", "a/b + c"), ("a", "b/c", "a + b/c")] {
        let path = server.download_path_for(&format!("repo={repo}&branch={branch}"));
        assert!(server.download(&path).text().contains(value), "{repo} {branch}");
    }
    assert_eq!(server.download(&server.download_path_for("repo=a/b/c&branch=c")).body, b"");
}
