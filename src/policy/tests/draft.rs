//! Policies in request bodies.

use super::bounds;
use crate::policy::{Draft, DraftError, Syntax, is_policy_name};
use serde_json::{Value, json};

fn spec() -> Value {
    json!({
        "subjects": [{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}],
        "repos": ["site"],
        "branches": ["main"],
        "secrets": [{"store": "vault", "path": "homelab/{repo}"}],
    })
}

fn manifest(name: &str) -> Value {
    json!({
        "apiVersion": "claviger.dev/v1alpha1", "kind": "Policy", "metadata": {"name": name}, "spec": spec(),
    })
}

fn parse(body: &Value, url_name: Option<&str>) -> Result<Draft, DraftError> {
    Draft::parse(body.to_string().as_bytes(), Syntax::Json, url_name, &bounds())
}

/// The pointers of the faults.
fn pointers(body: &Value) -> Vec<String> {
    match parse(body, None) {
        Err(DraftError::Invalid(faults)) => faults.into_iter().map(|fault| fault.pointer).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_forms_parse_in_both_syntaxes() {
    for (body, url_name) in [
        (json!({"name": "a", "spec": spec()}), None),
        (json!({"name": "a", "spec": spec()}), Some("a")),
        (json!({"spec": spec()}), Some("a")),
        (manifest("a"), None),
        (manifest("a"), Some("a")),
    ] {
        for syntax in [Syntax::Json, Syntax::Yaml] {
            let draft = Draft::parse(body.to_string().as_bytes(), syntax, url_name, &bounds()).expect("valid");
            assert_eq!((&**draft.policy.name(), draft.policy.spec().repos.len()), ("a", 1), "{body}");
        }
    }
    let yaml = "name: a\nspec:\n  subjects: [{kubernetes: {namespaces: [ci], serviceAccounts: [b]}}]\n  repos: [site]\n  \
                branches: [main]\n  effect: deny\n";
    assert!(Draft::parse(yaml.as_bytes(), Syntax::Yaml, None, &bounds()).is_ok());
    let as_json = Draft::parse(yaml.as_bytes(), Syntax::Json, None, &bounds());
    assert!(matches!(as_json, Err(DraftError::IllFormed(_))), "YAML is not JSON");
}

#[test]
fn the_name_must_equal_the_name_in_the_url() {
    for body in [json!({"name": "b", "spec": spec()}), manifest("b"), json!({"name": "b"})] {
        assert_eq!(parse(&body, Some("a")).err(), Some(DraftError::NameMismatch));
    }
}

#[test]
fn pointers_are_relative_to_the_body() {
    let mut bad = spec();
    bad["repos"] = json!([]);
    bad["bogus"] = json!(1);
    assert_eq!(pointers(&json!({"name": "A", "spec": bad})), ["/spec/bogus", "/name", "/spec/repos"]);
    let mut named = manifest("A");
    named["spec"] = bad;
    assert_eq!(pointers(&named), ["/spec/bogus", "/metadata/name", "/spec/repos"]);
    assert_eq!(pointers(&json!({})), ["/name", "/spec"]);
    assert_eq!(pointers(&json!({"kind": "Policy"})), ["/apiVersion", "/metadata/name", "/spec"]);
    assert_eq!(pointers(&json!({"name": 1, "spec": []})), ["/name", "/spec"]);
    assert_eq!(pointers(&json!({"name": "a", "spec": spec(), "revision": "7"})), ["/revision"]);
}

#[test]
fn a_body_must_be_an_object() {
    for body in [json!(null), json!([]), json!("a"), json!(1)] {
        assert_eq!(pointers(&body).first().map(String::as_str), Some(""), "{body}");
    }
}

#[test]
fn policy_names_are_subdomains() {
    assert!(is_policy_name("a.b-c") && is_policy_name(&"a".repeat(253)));
    for name in ["", "A", "a/b", "..", "-a", "a_b", "é", "a\n", &"a".repeat(254)] {
        assert!(!is_policy_name(name), "{name:?}");
    }
}
