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

fn read(body: &Value, written_to: Option<&str>) -> Result<Draft, DraftError> {
    Draft::read(body.to_string().as_bytes(), Syntax::Json, written_to, &bounds())
}

/// The pointers of the faults.
fn pointers(body: &Value) -> Vec<String> {
    match read(body, None) {
        Err(DraftError::Invalid(faults)) => faults.into_iter().map(|fault| fault.pointer).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_shapes_say_the_same_in_both_syntaxes() {
    for (body, written_to) in [
        (json!({"name": "a", "spec": spec()}), None),
        (json!({"name": "a", "spec": spec()}), Some("a")),
        (json!({"spec": spec()}), Some("a")),
        (manifest("a"), None),
        (manifest("a"), Some("a")),
    ] {
        for syntax in [Syntax::Json, Syntax::Yaml] {
            let draft = Draft::read(body.to_string().as_bytes(), syntax, written_to, &bounds()).expect("good");
            assert_eq!((&**draft.policy.name(), draft.policy.spec().repos.len()), ("a", 1), "{body}");
        }
    }
    let yaml = "name: a\nspec:\n  subjects: [{kubernetes: {namespaces: [ci], serviceAccounts: [b]}}]\n  repos: [site]\n  \
                branches: [main]\n  effect: deny\n";
    assert!(Draft::read(yaml.as_bytes(), Syntax::Yaml, None, &bounds()).is_ok());
    let as_json = Draft::read(yaml.as_bytes(), Syntax::Json, None, &bounds());
    assert!(matches!(as_json, Err(DraftError::IllFormed(_))), "YAML is no JSON");
}

#[test]
fn the_name_is_the_paths() {
    for body in [json!({"name": "b", "spec": spec()}), manifest("b"), json!({"name": "b"})] {
        assert_eq!(read(&body, Some("a")).err(), Some(DraftError::OtherName));
    }
}

#[test]
fn pointers_begin_as_the_body_does() {
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
fn what_is_no_object_is_no_policy() {
    for body in [json!(null), json!([]), json!("a"), json!(1)] {
        assert_eq!(pointers(&body).first().map(String::as_str), Some(""), "{body}");
    }
}

#[test]
fn a_name_is_a_subdomain() {
    assert!(is_policy_name("a.b-c") && is_policy_name(&"a".repeat(253)));
    for name in ["", "A", "a/b", "..", "-a", "a_b", "é", "a\n", &"a".repeat(254)] {
        assert!(!is_policy_name(name), "{name:?}");
    }
}
