//! `write` and `encoding` of a secret: which are invalid, how a body is expanded, and that different values give
//! different strings.

use super::{bounds, expect_grant, faults, oidc_caller, pod, policy, request_for, spec, verified_request};
use crate::model::facts::Facts;
use crate::model::lease::Encoding;
use crate::policy::{Decision, Policy, PolicySet};
use proptest::prelude::*;
use serde_json::{Value, json};

fn secret(rest: &str) -> String {
    format!(
        "subjects: [{{kubernetes: {{namespaces: ['**'], serviceAccounts: ['**']}}}}]\n\
         repos: ['**']\nbranches: ['**']\nsecrets: [{{store: vault, path: pki/issue/web, {rest}}}]"
    )
}

fn body(write: &Value, repo: &str, branch: &str) -> Option<Value> {
    let policy = policy("p", &secret(&format!("write: {write}")));
    let request = request_for(repo, branch);
    match PolicySet::new([policy]).decide(&pod("ci", "bot"), &Facts::default(), &request) {
        Decision::Granted(grant) => {
            Some(serde_json::from_str(grant.secrets[0].write.as_ref().expect("a write").as_json()).expect("JSON"))
        }
        _ => None,
    }
}

#[test]
fn placeholders_in_a_body_are_expanded() {
    for (write, expected) in [
        (json!({}), json!({})),
        (json!({"common_name": "{repo}.internal"}), json!({"common_name": "shop.internal"})),
        (json!({"ttl": "1h", "n": 7, "b": false, "f": 1.5}), json!({"ttl": "1h", "n": 7, "b": false, "f": 1.5})),
        (json!({"alt_names": ["{branch}.a", "b"]}), json!({"alt_names": ["x~y.a", "b"]})),
        (
            json!({"extensions": {"permit-pty": "", "{repo}": "{namespace}"}}),
            json!({"extensions": {"permit-pty": "", "{repo}": "ci"}}),
        ),
        (json!({"uri_sans": "spiffe://a/{repo}/{branch}"}), json!({"uri_sans": "spiffe://a/shop/x~y"})),
        (json!({"p": "{branch|path}"}), json!({"p": "x/y"})),
        (json!({"p": "{serviceAccount}"}), json!({"p": "bot"})),
    ] {
        assert_eq!(body(&write, "shop", "x/y"), Some(expected), "{write}");
    }
    // The value of a branch cannot end its name in the list and begin another name.
    let names = json!({"alt_names": "{branch}.preview.example,b.example"});
    let expected = json!({"alt_names": "evil.example=2Cx.preview.example,b.example"});
    assert_eq!(body(&names, "shop", "evil.example,x"), Some(expected));
    assert_eq!(body(&json!({"p": "{claims.sub}"}), "shop", "x"), None, "a pod has no claims");
    let policy = policy(
        "p",
        &secret(r#"write: {cn: '{claims["a/b"]}.x'}"#).replace(
            "kubernetes: {namespaces: ['**'], serviceAccounts: ['**']}",
            "oidc: {issuer: github, claims: {sub: '*'}}",
        ),
    );
    let caller = oidc_caller("github", json!({"sub": "me", "a/b": "c d"}));
    let grant = expect_grant(vec![policy], &caller, &request_for("shop", "main"));
    assert_eq!(
        grant.secrets[0].write.as_ref().map(crate::model::write_body::WriteBody::as_json),
        Some(r#"{"cn":"c=20d.x"}"#)
    );
}

#[test]
fn bodies_with_the_same_members_are_equal() {
    let write_and_encoding = |rest: &str| {
        let grant = expect_grant(vec![policy("p", &secret(rest))], &pod("ci", "bot"), &request_for("shop", "main"));
        (grant.secrets[0].write.clone(), grant.secrets[0].encoding)
    };
    assert_eq!(write_and_encoding("required: true"), (None, Encoding::Plain));
    assert_eq!(write_and_encoding("encoding: base64"), (None, Encoding::Base64));
    assert_eq!(write_and_encoding("write: {b: 1, a: '{repo}'}"), write_and_encoding("write: {a: shop, b: 1}"));
    assert_ne!(write_and_encoding("write: {a: '{repo}'}"), write_and_encoding("write: {a: '{branch}'}"));
}

#[test]
fn a_fault_has_the_pointer_of_its_field() {
    let nested = "write: {a: [[[[1]]]]}";
    for (rest, pointer) in [
        ("write: {a: null}", "/spec/secrets/0/write/a"),
        ("write: {a: ['{nothing}']}", "/spec/secrets/0/write/a/0"),
        ("write: {a: {b/c: '{repo'}}", "/spec/secrets/0/write/a/b~1c"),
        ("write: {a: 'repo}'}", "/spec/secrets/0/write/a"),
        ("write: {a: '{repo}{branch}'}", "/spec/secrets/0/write/a"),
        ("write: {a: '{repo}.{branch}.x'}", "/spec/secrets/0/write/a"),
        ("write: {a: '{repo|path}/{branch}'}", "/spec/secrets/0/write/a"),
        ("write: {a: '{namespace|path}'}", "/spec/secrets/0/write/a"),
        (nested, "/spec/secrets/0/write/a/0/0/0"),
        ("encoding: hex", "/spec/secrets/0/encoding"),
        ("encoding: ''", "/spec/secrets/0/encoding"),
        ("encoding: Base64", "/spec/secrets/0/encoding"),
    ] {
        let found = faults(&secret(rest));
        assert_eq!(found.len(), 1, "{rest}: {found:?}");
        assert!(found[0].starts_with(&format!("{pointer}: ")), "{rest}: {found:?}");
    }
    for rest in ["write: {a: [[[1]]]}", "write: {a: '{repo}@{branch}'}", "encoding: base64", "write: {}"] {
        assert_eq!(faults(&secret(rest)), Vec::<String>::new(), "{rest}");
    }
    let long = format!("write: {{a: '{}'}}", "x".repeat(16 << 10));
    assert_eq!(faults(&secret(&long)), ["/spec/secrets/0/write: must have at most 16384 bytes"]);
    let many = format!("write: {{a: '{}'}}", "{repo}/".repeat(65));
    assert_eq!(faults(&secret(&many)), ["/spec/secrets/0/write: must have at most 64 placeholders"]);
    assert_eq!(faults(&secret(&many.replacen("{repo}/", "", 1))), Vec::<String>::new());
}

#[test]
fn write_and_encoding_change_the_revision() {
    let revision = |rest: &str| Policy::compile("p", &spec(&secret(rest)), &bounds()).expect("good").revision().clone();
    assert_ne!(revision("write: {a: b}"), revision("write: {a: c}"));
    assert_ne!(revision("write: {a: b}"), revision("required: false"));
    assert_ne!(revision("encoding: base64"), revision("required: false"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn different_values_give_different_texts(
        one in "[ab]([/.]?[ab]){0,2}",
        other in "[ab]([/.]?[ab]){0,2}",
        third in "[ab]([/.]?[ab]){0,2}",
        fourth in "[ab]([/.]?[ab]){0,2}",
    ) {
        let write = json!({"a": "x{repo}/{branch}.y"});
        let (left, right) = (body(&write, &one, &other), body(&write, &third, &fourth));
        prop_assert!(left.is_some());
        prop_assert_eq!(left == right, verified_request(&one, &other) == verified_request(&third, &fourth));
    }
}
