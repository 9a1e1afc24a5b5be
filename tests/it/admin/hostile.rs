//! Malicious bodies: each is refused with the place of the fault, none causes an internal error, and none is
//! stored.

use super::{ApiUser, spec};
use crate::rig::claviger::Claviger;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

fn with(change: impl FnOnce(&mut Value)) -> String {
    let mut body = json!({"name": "a", "spec": spec("r")});
    change(&mut body);
    body.to_string()
}

/// A `description` of this many bytes makes the whole body this long.
fn padded(length: usize) -> String {
    let empty = with(|body| body["spec"]["description"] = json!("")).len();
    with(|body| body["spec"]["description"] = json!("x".repeat(length - empty)))
}

fn bomb() -> String {
    let layer = |(from, to): (char, char)| format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 9].join(","));
    "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned() + &('a'..='h').zip('b'..='i').map(layer).collect::<String>()
}

fn hostile() -> Vec<(&'static str, Vec<u8>, u16)> {
    let text = |media_type, body: &str, status| (media_type, body.as_bytes().to_vec(), status);
    let mut all = vec![
        text(JSON, "", 400),
        text(JSON, "{", 400),
        text(JSON, "{}{}", 400),
        text(JSON, "{} x", 400),
        text(JSON, &"[".repeat(10_000), 400),
        text(JSON, &"{\"spec\":".repeat(7_000), 400),
        text(JSON, &format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)), 400),
        text(JSON, r#"{"name":"a","name":"a"}"#, 400),
        text(JSON, r#"{"name":"a","spec":{"repos":["a"],"repos":["b"]}}"#, 400),
        text(JSON, r#"{"name":"\ud800","spec":{}}"#, 400),
        text(JSON, r#"{"name":"a","spec":{"condition":"\udfff\ud800"}}"#, 400),
        text(JSON, r#"{"name":1e999}"#, 400),
        text(JSON, "NaN", 400),
        text(JSON, "\u{feff}{}", 400),
        (JSON, b"{\"name\":\"\xff\"}".to_vec(), 400),
        (YAML, b"name: \xc3\x28".to_vec(), 400),
        (YAML, vec![0; 100], 400),
        text(YAML, "name: a\nname: b", 400),
        text(YAML, "a: *nothing", 400),
        text(YAML, "a: 1\n---\na: 2", 400),
        text(YAML, &bomb(), 400),
        text(YAML, &"- ".repeat(10_000), 400),
        text(YAML, &"[".repeat(10_000), 400),
        text(YAML, "name: !!binary hunter2", 400),
        text(JSON, &padded(65_537), 413),
        text(YAML, &padded(65_537), 413),
    ];
    let whole = ["null", "[]", "\"a\"", "1", "true", "[\"a\", {}]", "{}"];
    all.extend(whole.map(|body| text(JSON, body, 422)));
    all.extend(whole.map(|body| text(YAML, body, 422)));
    let wrong = [json!(null), json!(1), json!(true), json!("hunter2"), json!([]), json!(["hunter2"]), json!({"x": 1})];
    let places = [
        "/name",
        "/spec",
        "/spec/effect",
        "/spec/subjects",
        "/spec/subjects/0",
        "/spec/subjects/0/oidc",
        "/spec/subjects/0/oidc/claims",
        "/spec/subjects/0/oidc/claims/role",
        "/spec/repos",
        "/spec/repos/0",
        "/spec/branches",
        "/spec/secrets",
        "/spec/secrets/0",
        "/spec/secrets/0/store",
        "/spec/secrets/0/path",
    ];
    for place in places {
        for value in &wrong {
            let body = with(|body| {
                body["spec"]["effect"] = json!("allow");
                *body.pointer_mut(place).unwrap() = value.clone();
            });
            // The only valid values of this field.
            let fits = matches!(
                (place, value),
                (
                    "/name" | "/spec/subjects/0/oidc/claims/role" | "/spec/repos/0" | "/spec/secrets/0/path",
                    Value::String(_)
                ) | ("/spec/effect", Value::Null)
                    | ("/spec/repos" | "/spec/branches", Value::Array(_))
            );
            if !fits {
                all.push((JSON, body.into_bytes(), 422));
            }
        }
    }
    for unknown in ["/", "/spec", "/spec/subjects/0", "/spec/subjects/0/oidc", "/spec/secrets/0"] {
        let body = with(|body| body.pointer_mut(unknown.trim_end_matches('/')).unwrap()["hunter2"] = json!("hunter2"));
        all.push((JSON, body.into_bytes(), 422));
    }
    all
}

#[test]
fn every_hostile_body_is_refused_with_its_place_and_never_repeated() {
    let claviger = Claviger::sample();
    let admin = ApiUser::admin(&claviger);
    let hostile = hostile();
    assert!(hostile.len() > 100);
    for (media_type, body, status) in &hostile {
        for (method, target) in [("POST", "/v1/policies"), ("PUT", "/v1/policies/a")] {
            // The name is in the path.
            if method == "PUT" && body.starts_with(b"{\"name\":null,\"spec\":{\"branches\"") {
                continue;
            }
            let answer = admin.send(method, target, &[("Content-Type", media_type)], body);
            let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
            // A `PUT` body may omit the name; a different name is refused before other faults.
            let renamed = method == "PUT" && answer.status == 400 && *status == 422;
            assert!(answer.status == *status || renamed, "{method} {media_type} {shown} {answer:?}");
            answer.code();
            if *status != 413 && !renamed {
                let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
                assert!(!errors.is_empty(), "{shown} {answer:?}");
                for error in &errors {
                    let pointer = error["pointer"].as_str().unwrap();
                    let begins = ["/spec", "/name", "/metadata", "/kind", "/apiVersion", "/a", "/b", "/hunter2", "/x"];
                    assert!(pointer.is_empty() || begins.iter().any(|start| pointer.starts_with(start)), "{error}");
                    assert!(!error["detail"].as_str().unwrap().contains("hunter2"), "{error}");
                }
            }
        }
    }
    assert_eq!(admin.get("/v1/policies").json()["items"].as_array().unwrap().len(), 1, "only the sample");
    let log = claviger.log();
    assert!(!log.contains("hunter2") && !log.contains("panicked"), "{log}");
}

#[test]
fn the_largest_allowed_body_and_an_ordinary_one_are_accepted() {
    let claviger = Claviger::sample();
    let admin = ApiUser::admin(&claviger);
    for body in [padded(65_536), with(|_| {})] {
        let answer = admin.send("PUT", "/v1/policies/a", &[("Content-Type", JSON)], body.as_bytes());
        assert!([200, 201].contains(&answer.status), "{answer:?}");
    }
}

#[test]
fn all_faults_of_a_body_are_reported_at_once() {
    let claviger = Claviger::sample();
    let body = with(|body| {
        body["name"] = json!("Not A Name");
        body["spec"]["repos"] = json!(["a[", "b\\"]);
        body["spec"]["branches"] = json!([]);
        body["spec"]["secrets"][0] = json!({"store": "nowhere", "path": "sys/{repo}", "bogus": 1});
        body["spec"]["ticket"] = json!({"ttl": "9h", "bindTo": "nobody"});
        body["spec"]["delivery"] = json!([1]);
    });
    let answer = ApiUser::admin(&claviger).send("POST", "/v1/policies", &[("Content-Type", JSON)], body.as_bytes());
    assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_policy"));
    let errors = answer.json()["errors"].as_array().cloned().unwrap();
    let pointers: BTreeSet<String> = errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect();
    let expected = [
        "/name",
        "/spec/branches",
        "/spec/delivery/0",
        "/spec/repos/0",
        "/spec/repos/1",
        "/spec/secrets/0/bogus",
        "/spec/secrets/0/path",
        "/spec/secrets/0/store",
        "/spec/ticket/bindTo",
        "/spec/ticket/ttl",
    ];
    assert_eq!(pointers, expected.map(str::to_owned).into());

    let admin = ApiUser::admin(&claviger);
    let empty = json!({"spec": {}}).to_string();
    let put = admin.send("PUT", "/v1/policies/empty", &[("Content-Type", JSON)], empty.as_bytes());
    assert_eq!((put.status, put.code().as_str()), (422, "invalid_policy"));
    assert_eq!(admin.get("/v1/policies/empty").status, 404, "an invalid policy was stored");
}

#[test]
fn names_in_paths_are_not_decoded_or_normalised() {
    let claviger = Claviger::sample();
    let admin = ApiUser::admin(&claviger);
    for name in ["A", "a_b", "%61", "a%2fb", "..", "%2e%2e", "a%00", "-a", "é", &"a".repeat(254), "a%20"] {
        let target: String = format!("/v1/policies/{name}")
            .bytes()
            .map(|b| if b.is_ascii() { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect();
        let put =
            admin.send("PUT", &target, &[("Content-Type", JSON)], json!({"spec": spec("r")}).to_string().as_bytes());
        assert_eq!((put.status, put.code().as_str()), (422, "invalid_policy"), "{name}");
        assert_eq!(put.json()["errors"][0]["pointer"], "/name");
        for answer in [admin.get(&target), admin.delete(&target, &[])] {
            assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{name}");
        }
    }
}
