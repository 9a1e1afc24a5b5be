//! An explanation has the same result as a ticket request.

use super::{ApiUser, problem, spec};
use crate::rig::claviger::{Claviger, Dev};
use serde_json::{Value, json};

fn policies() -> Vec<(&'static str, Value)> {
    let mut deny = spec("secret/**");
    deny["effect"] = json!("deny");
    deny.as_object_mut().unwrap().remove("secrets");
    let mut keyed = spec("site");
    keyed["branches"] = json!(["release/*"]);
    keyed["secrets"][0]["keys"] = json!(["A", "NPM_*"]);
    let mut direct = spec("direct");
    direct["delivery"] = json!(["direct"]);
    let mut others = spec("site");
    others["subjects"][0]["oidc"]["claims"] = json!({"role": "somebody-else"});
    vec![
        ("all", spec("{site,secret/x,secret/y}")),
        ("deny", deny),
        ("direct", direct),
        ("keyed", keyed),
        ("others", others),
    ]
}

#[test]
fn explanations_agree_with_what_is_issued() {
    let policies = policies();
    let claviger = Claviger::dev(&Dev { policies: &policies, ..Dev::default() });
    let (admin, token) = (ApiUser::admin(&claviger), claviger.token("token"));
    for (repo, branch) in
        [("site", "main"), ("site", "release/1"), ("secret/x", "main"), ("nobody", "main"), ("secret/z", "main")]
    {
        let ticket = claviger.ask(&token, &format!("repo={repo}&branch={branch}"));
        let by_token = admin.post("/v1/decisions", &json!({"token": token, "repo": repo, "branch": branch}));
        assert_eq!(by_token.status, 200, "{by_token:?}");
        let explained = by_token.json();
        assert_eq!(explained["allowed"], ticket.status == 201, "{repo} {branch} {explained}");
        let caller = json!({"issuer": "dev", "claims": {"role": "build"}});
        let described = admin.post("/v1/decisions", &json!({"caller": caller, "repo": repo, "branch": branch}));
        assert_eq!(described.json(), explained);
        if ticket.status == 201 {
            let granting: Vec<_> = matching(&explained);
            assert_eq!(json!(granting), ticket.json()["policies"], "{repo} {branch}");
        } else {
            let event = claviger.audit_events().into_iter().rfind(|event| event["type"] == "ticket.denied").unwrap();
            assert_eq!(event["reason"], explained["reason"]);
        }
        assert!(!by_token.text().contains(&token));
    }
}

fn matching(explained: &Value) -> Vec<String> {
    let policies = explained["policies"].as_array().unwrap().iter();
    let matched = policies.filter(|policy| policy["matched"] == true);
    matched.map(|policy| policy["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_explanation_has_a_verdict_of_each_policy() {
    let policies = policies();
    let claviger = Claviger::dev(&Dev { policies: &policies, ..Dev::default() });
    let admin = ApiUser::admin(&claviger);
    let caller = json!({"issuer": "dev", "claims": {"role": "build"}});
    let explain = |repo: &str, branch: &str| {
        admin.post("/v1/decisions", &json!({"caller": caller, "repo": repo, "branch": branch})).json()
    };
    let failed = |explained: &Value| -> Vec<Value> {
        explained["policies"].as_array().unwrap().iter().map(|policy| policy["failedAt"].clone()).collect()
    };
    let explained = explain("site", "main");
    assert_eq!(failed(&explained), [json!(null), json!("repos"), json!("repos"), json!("branches"), json!("subjects")]);
    assert_eq!(explained["secrets"], json!([{"store": "local", "path": "homelab/site/main", "keys": ["**"]}]));

    let explained = explain("site", "release/1");
    assert_eq!(matching(&explained), ["all", "keyed"]);
    assert_eq!(
        explained["secrets"][1],
        json!({"store": "local", "path": "homelab/site/release~1", "keys": ["A", "NPM_*"]})
    );

    let explained = explain("secret/x", "main");
    assert_eq!((&explained["allowed"], &explained["reason"]), (&json!(false), &json!("denied_by_policy")));
    assert_eq!((matching(&explained), &explained["secrets"]), (vec!["all".to_owned(), "deny".to_owned()], &json!([])));
}

#[test]
fn invalid_requests_for_an_explanation_are_refused() {
    let claviger = Claviger::sample();
    let admin = ApiUser::admin(&claviger);
    let caller = json!({"issuer": "dev"});
    for (body, expected) in [
        (json!({}), (400, "invalid_request")),
        (json!({"repo": "r", "branch": "b"}), (400, "invalid_request")),
        (json!({"caller": caller, "token": "t", "repo": "r", "branch": "b"}), (400, "invalid_request")),
        (json!({"caller": caller, "repo": "..", "branch": "b"}), (422, "invalid_repo")),
        (json!({"caller": caller, "repo": "r", "branch": "-rf"}), (422, "invalid_branch")),
        (json!({"caller": [], "repo": "r", "branch": "b"}), (400, "invalid_request")),
        (json!({"caller": ["dev"], "repo": "r", "branch": "b"}), (400, "invalid_request")),
        (json!({"caller": {"issuer": null}, "repo": "r", "branch": "b"}), (400, "invalid_request")),
        (json!({"caller": caller, "repo": "r", "branch": "b", "x": 1}), (400, "invalid_request")),
        (json!([]), (400, "invalid_request")),
    ] {
        let answer = admin.post("/v1/decisions", &body);
        assert_eq!(problem(&answer), (expected.0, expected.1.to_owned()), "{body}");
    }
    let left_out = admin.post("/v1/decisions", &json!({"caller": caller, "branch": "b"}));
    assert_eq!((left_out.status, left_out.json()["reason"].as_str()), (200, Some("repo_missing")));
    let refused = admin.post("/v1/decisions", &json!({"token": "hunter2", "repo": "r", "branch": "b"}));
    assert_eq!((refused.status, refused.json()["allowed"].as_bool()), (200, Some(false)));
    assert_eq!(refused.json()["reason"], "malformed_token");
    assert_eq!(admin.send("POST", "/v1/decisions", &[], b"{}").status, 415);
}
