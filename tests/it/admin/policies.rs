//! Policies are created, read, replaced and deleted; no change is lost, and every change is recorded.

use super::{ApiUser, JSON, problem, spec};
use crate::rig::claviger::{Claviger, Dev};
use serde_json::json;

const YAML: (&str, &str) = ("Content-Type", "application/yaml");

#[test]
fn a_policy_is_active_from_post_to_delete() {
    let claviger = Claviger::sample();
    let admin = ApiUser::admin(&claviger);
    let ask = || claviger.ask(&claviger.token("token"), "repo=other&branch=main").status;
    assert_eq!(ask(), 403);

    let created = admin.post("/v1/policies", &json!({"name": "other", "spec": spec("other")}));
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.header("location").as_deref(), Some("/v1/policies/other"));
    let policy = created.json();
    let revision = policy["revision"].as_str().unwrap().to_owned();
    assert_eq!(created.header("etag"), Some(format!("\"{revision}\"")));
    assert_eq!((&policy["name"], &policy["source"]), (&json!("other"), &json!("api")));
    assert_eq!(policy["updatedBy"], "sample-admin");
    assert_eq!(policy["createdAt"], policy["updatedAt"]);
    assert_eq!(policy["spec"]["repos"], json!(["other"]));
    assert_eq!(ask(), 201);

    let read = admin.get("/v1/policies/other");
    assert_eq!((read.status, read.json(), read.header("etag")), (200, policy, created.header("etag")));
    let etag = read.header("etag").unwrap();
    let again = admin.send("GET", "/v1/policies/other", &[("If-None-Match", &etag)], b"");
    assert_eq!((again.status, again.body.len()), (304, 0));

    let replaced = admin.put("/v1/policies/other", &[], &json!({"spec": spec("another")}));
    assert_eq!(replaced.status, 200, "{replaced:?}");
    assert_ne!(replaced.header("etag"), Some(etag));
    assert_eq!(ask(), 403);

    assert_eq!(admin.delete("/v1/policies/other", &[]).status, 204);
    assert_eq!(problem(&admin.get("/v1/policies/other")), (404, "not_found".into()));
    assert_eq!(problem(&admin.delete("/v1/policies/other", &[])), (404, "not_found".into()));

    let revisions = admin.get("/v1/policies/other/revisions");
    let items = revisions.json()["items"].as_array().unwrap().clone();
    let changes: Vec<_> = items.iter().map(|item| item["change"].as_str().unwrap()).collect();
    assert_eq!(changes, ["deleted", "updated", "created"]);
    assert_eq!(items[1]["diff"], json!([{"pointer": "/repos/0", "before": "other", "after": "another"}]));
    assert!(items.iter().all(|item| item["by"] == "sample-admin" && item["at"].is_string()));
    assert_eq!(problem(&admin.get("/v1/policies/nobody/revisions")), (404, "not_found".into()));
    let page = admin.get("/v1/policies/other/revisions?limit=2").json();
    let next = format!("/v1/policies/other/revisions?limit=2&continue={}", page["continue"].as_str().unwrap());
    assert_eq!(admin.get(&next).json(), json!({"items": [items[2]]}));

    let events = claviger.audit_events();
    let written: Vec<_> =
        events.iter().filter(|event| event["type"].as_str().unwrap().starts_with("policy.")).collect();
    let kinds: Vec<_> = written.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["policy.created", "policy.updated", "policy.deleted", "policy.deleted"]);
    for event in &written[..3] {
        assert_eq!((&event["outcome"], &event["reason"]), (&json!("ok"), &json!(null)));
        assert_eq!((&event["policies"], &event["caller"]["subject"]), (&json!(["other"]), &json!("sample-admin")));
    }
    assert_eq!((&written[3]["outcome"], &written[3]["reason"]), (&json!("failed"), &json!("not_found")));
    assert_eq!(written[0]["requestId"], json!(created.header("x-request-id").unwrap()));
}

#[test]
fn a_lost_update_is_refused() {
    let claviger = Claviger::sample();
    let admin = ApiUser::admin(&claviger);
    let first = admin.post("/v1/policies", &json!({"name": "a", "spec": spec("one")})).header("etag").unwrap();
    let body = json!({"name": "a", "spec": spec("two")});
    let second = admin.put("/v1/policies/a", &[("If-Match", &first)], &body);
    assert_eq!(second.status, 200);
    let second = second.header("etag").unwrap();

    let stale = (412, "precondition_failed".to_owned());
    let weak = format!("W/{second}");
    for headers in [
        [("If-Match", first.as_str())],
        [("If-Match", weak.as_str())],
        [("If-Match", "\"unknown\"")],
        [("If-None-Match", "*")],
    ] {
        assert_eq!(problem(&admin.put("/v1/policies/a", &headers, &body)), stale, "{headers:?}");
        if headers[0].0 == "If-Match" {
            assert_eq!(problem(&admin.delete("/v1/policies/a", &headers)), stale, "{headers:?}");
        }
    }
    assert_eq!(admin.get("/v1/policies/a").header("etag").as_ref(), Some(&second), "nothing was written");

    let either = format!("{first}, {second}");
    assert_eq!(admin.put("/v1/policies/a", &[("If-Match", &either)], &body).status, 200);
    assert_eq!(admin.put("/v1/policies/a", &[("If-Match", "*")], &body).status, 200);
    assert_eq!(admin.delete("/v1/policies/a", &[("If-Match", "*")]).status, 204);
}

#[test]
fn one_of_many_writers_with_the_same_revision_succeeds() {
    let claviger = Claviger::sample();
    let admin = ApiUser::admin(&claviger);
    let etag = admin.post("/v1/policies", &json!({"name": "a", "spec": spec("r")})).header("etag").unwrap();
    let write = |n: usize| {
        let body = json!({"spec": spec(&format!("r{n}"))});
        admin.put("/v1/policies/a", &[("If-Match", &etag)], &body).status
    };
    let statuses = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8).map(|n| scope.spawn(move || write(n))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 7, "{statuses:?}");
}

#[test]
fn put_creates_a_policy_if_the_name_is_free() {
    let claviger = Claviger::sample();
    let admin = ApiUser::admin(&claviger);
    let body = json!({"spec": spec("r")});
    for headers in [[("If-Match", "*")], [("If-Match", "\"1\"")]] {
        let answer = admin.put("/v1/policies/a", &headers, &body);
        assert_eq!(problem(&answer), (412, "precondition_failed".into()));
    }
    let created = admin.put("/v1/policies/a", &[("If-None-Match", "*")], &body);
    assert_eq!((created.status, created.json()["name"].as_str()), (201, Some("a")));
    assert_eq!(admin.put("/v1/policies/b", &[], &body).status, 201);
    assert_eq!(admin.put("/v1/policies/b", &[], &body).status, 200);

    let named = admin.put("/v1/policies/a", &[], &json!({"name": "b", "spec": spec("r")}));
    assert_eq!(problem(&named), (400, "invalid_request".into()));
    let twice = admin.post("/v1/policies", &json!({"name": "a", "spec": spec("r")}));
    assert_eq!(problem(&twice), (409, "already_exists".into()));
    let both = admin.put("/v1/policies/a", &[("If-Match", "*"), ("If-None-Match", "*")], &body);
    assert_eq!(problem(&both), (400, "invalid_request".into()));
}

#[test]
fn yaml_and_manifests_are_accepted_and_other_media_types_refused() {
    let claviger = Claviger::sample();
    let admin = ApiUser::admin(&claviger);
    let manifest = "# by hand\napiVersion: claviger.dev/v1alpha1\nkind: Policy\nmetadata:\n  name: by-hand\nspec:\n  \
                    effect: deny\n  subjects:\n    - oidc: {issuer: dev, claims: {role: x}}\n  repos: [\"**\"]\n  \
                    branches: [\"**\"]\n";
    for (target, media_type, status) in [
        ("/v1/policies", "application/yaml", 201),
        ("/v1/policies", "text/yaml", 409),
        ("/v1/policies", "application/x-yaml; charset=utf-8", 409),
        ("/v1/policies", "Application/YAML", 409),
        ("/v1/policies", "application/json", 400),
        ("/v1/policies", "text/plain", 415),
        ("/v1/policies", "application/x-www-form-urlencoded", 415),
    ] {
        let answer = admin.send("POST", target, &[("Content-Type", media_type)], manifest.as_bytes());
        assert_eq!(answer.status, status, "{media_type} {answer:?}");
    }
    assert_eq!(admin.send("POST", "/v1/policies", &[], manifest.as_bytes()).status, 415);
    assert_eq!(admin.send("PUT", "/v1/policies/by-hand", &[YAML], manifest.as_bytes()).status, 200);
    assert_eq!(admin.get("/v1/policies/by-hand").json()["spec"]["effect"], "deny");
}

#[test]
fn a_dry_run_reports_the_result_and_writes_nothing() {
    let claviger = Claviger::sample();
    let admin = ApiUser::admin(&claviger);
    let body = json!({"name": "a", "spec": spec("r")});
    let dry = admin.post("/v1/policies?dryRun=true", &body);
    assert_eq!((dry.status, dry.json()["name"].as_str(), dry.header("etag")), (201, Some("a"), None), "{dry:?}");
    assert_eq!(admin.put("/v1/policies/a?dryRun=true", &[], &body).status, 201);
    assert_eq!(admin.get("/v1/policies/a").status, 404);

    assert_eq!(admin.post("/v1/policies?dryRun=false", &body).status, 201);
    let before = admin.get("/v1/policies/a");
    assert_eq!(problem(&admin.post("/v1/policies?dryRun=true", &body)), (409, "already_exists".into()));
    assert_eq!(admin.put("/v1/policies/a?dryRun=true", &[], &json!({"spec": spec("x")})).status, 200);
    let stale = admin.put("/v1/policies/a?dryRun=true", &[("If-Match", "\"0\"")], &body);
    assert_eq!(problem(&stale), (412, "precondition_failed".into()));
    let bad = admin.put("/v1/policies/a?dryRun=true", &[], &json!({"spec": {}}));
    assert_eq!(problem(&bad), (422, "invalid_policy".into()));
    assert_eq!(admin.delete("/v1/policies/a?dryRun=true", &[]).status, 204);
    assert_eq!(problem(&admin.delete("/v1/policies/b?dryRun=true", &[])), (404, "not_found".into()));
    assert_eq!(admin.get("/v1/policies/a").json(), before.json());
    assert_eq!(problem(&admin.post("/v1/policies?dryRun=yes", &body)), (400, "invalid_request".into()));

    let events = claviger.audit_events();
    assert_eq!(events.iter().filter(|event| event["type"] == "policy.created").count(), 1);
    assert_eq!(events.iter().filter(|event| event["type"] == "policy.updated").count(), 0);
}

#[test]
fn policies_from_files_are_listed_and_cannot_be_changed() {
    let claviger = Claviger::dev(&Dev { policies: &[("from-a-file", spec("site"))], ..Dev::default() });
    let admin = ApiUser::admin(&claviger);
    let before = admin.get("/v1/policies/from-a-file").json();
    assert_eq!((&before["source"], &before["updatedBy"]), (&json!("file"), &json!("from-a-file.yaml")));
    assert_eq!(before["spec"]["repos"], json!(["site"]));
    let body = json!({"name": "from-a-file", "spec": spec("x")});
    for answer in [
        admin.post("/v1/policies", &body),
        admin.put("/v1/policies/from-a-file", &[], &body),
        admin.put("/v1/policies/from-a-file", &[("If-None-Match", "*")], &body),
        admin.delete("/v1/policies/from-a-file", &[]),
        admin.post("/v1/policies?dryRun=true", &body),
        admin.put("/v1/policies/from-a-file?dryRun=true", &[], &body),
        admin.delete("/v1/policies/from-a-file?dryRun=true", &[]),
    ] {
        assert_eq!(problem(&answer), (409, "read_only".into()));
    }
    assert_eq!(admin.get("/v1/policies/from-a-file").json(), before);
    assert_eq!(admin.get("/v1/policies/from-a-file/revisions").json(), json!({"items": []}));
}

#[test]
fn lists_come_in_pages_by_name() {
    let claviger = Claviger::sample();
    let admin = ApiUser::admin(&claviger);
    for name in ["c", "a", "b.x", "b"] {
        assert_eq!(admin.post("/v1/policies", &json!({"name": name, "spec": spec("r")})).status, 201);
    }
    let all = admin.get("/v1/policies").json();
    assert_eq!(all.get("continue"), None);
    let names = |page: &serde_json::Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&all), ["a", "b", "b.x", "c", "sample"]);

    let (mut seen, mut target) = (Vec::new(), "/v1/policies?limit=2".to_owned());
    for _ in 0..3 {
        let page = admin.get(&target).json();
        seen.extend(names(&page));
        match page.get("continue") {
            Some(next) => target = format!("/v1/policies?limit=2&continue={}", next.as_str().unwrap()),
            None => break,
        }
    }
    assert_eq!(seen, names(&all));
    for query in ["limit=0", "limit=1001", "limit=x", "continue=!", "bogus=1", "limit=1&limit=1"] {
        let answer = admin.get(&format!("/v1/policies?{query}"));
        assert_eq!(problem(&answer), (400, "invalid_request".into()), "{query}");
    }
}

#[test]
fn only_administrators_change_policies_and_refusals_are_recorded() {
    let claviger = Claviger::sample();
    let (admin, build) = (ApiUser::admin(&claviger), ApiUser::build(&claviger));
    let body = json!({"name": "a", "spec": spec("r")});
    assert_eq!(admin.get("/v1/policies").status, 200);
    for answer in [
        build.get("/v1/policies"),
        build.get("/v1/policies/sample"),
        build.get("/v1/policies/nobody"),
        build.get("/v1/policies/sample/revisions"),
        build.post("/v1/policies", &body),
        build.post("/v1/policies", &json!({})),
        build.put("/v1/policies/a", &[], &body),
        build.delete("/v1/policies/sample", &[]),
        build.post("/v1/decisions", &json!({})),
    ] {
        assert_eq!(problem(&answer), (403, "denied".into()));
    }
    let refused: Vec<_> = claviger.audit_events().into_iter().filter(|event| event["type"] == "admin.denied").collect();
    assert_eq!(refused.len(), 9);
    for event in &refused {
        assert_eq!((&event["outcome"], &event["reason"]), (&json!("denied"), &json!("not_listed")));
        assert_eq!(event["caller"]["subject"], "sample-build");
    }
    assert_eq!(refused[1]["policies"], json!(["sample"]));

    for (method, target) in [
        ("GET", "/v1/policies"),
        ("POST", "/v1/policies"),
        ("PUT", "/v1/policies/a"),
        ("DELETE", "/v1/policies/a"),
        ("GET", "/v1/policies/a/revisions"),
        ("POST", "/v1/decisions"),
    ] {
        let answer = claviger.send(method, target, &[JSON], body.to_string().as_bytes());
        assert_eq!(problem(&answer), (401, "unauthenticated".into()), "{method} {target}");
        assert_eq!(answer.header("www-authenticate").as_deref(), Some("Bearer"));
    }
}

#[test]
fn other_methods_are_405_with_the_allowed_methods() {
    let claviger = Claviger::sample();
    let admin = ApiUser::admin(&claviger);
    for (target, allowed) in [
        ("/v1/policies", "GET, POST"),
        ("/v1/policies/a", "GET, PUT, DELETE"),
        ("/v1/policies/a/revisions", "GET"),
        ("/v1/decisions", "POST"),
        ("/openapi.json", "GET"),
        ("/docs", "GET"),
    ] {
        let answer = admin.send("PATCH", target, &[], b"");
        assert_eq!(problem(&answer), (405, "method_not_allowed".into()), "{target}");
        assert_eq!(answer.header("allow").as_deref(), Some(allowed));
        assert_eq!(admin.send("OPTIONS", target, &[], b"").status, 204);
    }
}
