//! Tests of the custom resources of a cluster, without an API server.

use super::*;
use crate::model::caller::{Caller, Pod, Workload};
use crate::model::facts::Facts;
use crate::model::policy_resource::ResourceSpec;
use crate::model::request::UnverifiedRequest;
use crate::policy::bounds::AuthenticatorKind;
use crate::policy::{Ceiling, Decision, Denial, PolicySet, Tenants};
use serde_json::{Map, Value, json};
use std::time::Duration;

fn bounds() -> Bounds {
    let tenants = [(vec!["team-*".to_owned()], vec![("vault".into(), "teams/{namespace}".to_owned())])];
    Bounds {
        stores: ["vault".into()].into(),
        authenticators: [("a".into(), AuthenticatorKind::Kubernetes), ("b".into(), AuthenticatorKind::Kubernetes)]
            .into(),
        max_ttl: Duration::from_mins(15),
        ceiling: Ceiling::default(),
        tenants: Tenants::new(tenants).expect("tenants"),
    }
}

fn key(name: &str) -> ResourceKey {
    match name.split_once('/') {
        Some((namespace, name)) => ResourceKey { namespace: Some(namespace.into()), name: name.into() },
        None => ResourceKey { namespace: None, name: name.into() },
    }
}

fn allow(path: &str, namespaces: Option<&str>) -> Value {
    let mut pods = json!({"serviceAccounts": ["*"]});
    if let Some(namespaces) = namespaces {
        pods["namespaces"] = json!([namespaces]);
    }
    json!({
        "subjects": [{"kubernetes": pods}], "repos": ["**"], "branches": ["**"],
        "secrets": [{"store": "vault", "path": path}],
    })
}

fn deny() -> Value {
    let mut spec = allow("x", None);
    spec["effect"] = json!("deny");
    spec.as_object_mut().expect("a map").remove("secrets");
    spec
}

fn object(name: &str, generation: i64, spec: Value) -> PolicyResource {
    PolicyResource {
        key: key(name),
        uid: format!("uid of {name}").into(),
        generation,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        updated_by: "kubectl".into(),
        spec: ResourceSpec::Complete(spec),
        status: None,
    }
}

fn applied(object: PolicyResource) -> Vec<ResourceChange> {
    vec![ResourceChange::Applied(Box::new(object))]
}

fn no_owner(_: &str) -> Option<NameOwner> {
    None
}

fn names(policies: &[Arc<Policy>]) -> Vec<String> {
    policies.iter().map(|policy| policy.name().to_string()).collect()
}

fn reason(resources: &ClusterResources, name: &str) -> String {
    let pending = resources.pending_statuses();
    let found = pending.iter().find(|one| one.key == key(name)).expect(name);
    assert_eq!(found.status.ready, &*found.status.reason == "Accepted");
    found.status.reason.to_string()
}

#[test]
fn a_cluster_is_complete_when_both_kinds_were_listed() {
    let mut resources = ClusterResources::new("a".into(), bounds());
    assert!(!resources.is_complete());
    assert!(
        resources.apply_changes(vec![ResourceChange::Listed(ResourceKind::Policy, Vec::new())]),
        "the first list counts"
    );
    assert!(!resources.is_complete());
    resources.apply_changes(vec![ResourceChange::Listed(ResourceKind::ClusterPolicy, Vec::new())]);
    assert!(resources.is_complete());
    let again = vec![ResourceChange::Listed(ResourceKind::ClusterPolicy, Vec::new())];
    assert!(!resources.apply_changes(again), "nothing changed");
}

#[test]
fn a_list_removes_other_objects_of_its_kind() {
    let mut resources = ClusterResources::new("a".into(), bounds());
    let all = allow("teams/x", Some("**"));
    resources.apply_changes(applied(object("one", 1, all.clone())));
    resources.apply_changes(applied(object("team-a/two", 1, allow("teams/team-a", None))));
    assert_eq!(names(&resources.resolve_names(no_owner)), ["one", "team-a/two"]);
    resources.apply_changes(vec![ResourceChange::Listed(ResourceKind::ClusterPolicy, vec![object("three", 1, all)])]);
    assert_eq!(names(&resources.resolve_names(no_owner)), ["three", "team-a/two"]);
    resources.apply_changes(vec![ResourceChange::Deleted(key("team-a/two"))]);
    assert_eq!(names(&resources.resolve_names(no_owner)), ["three"]);
}

#[test]
fn only_a_new_generation_or_uid_is_compiled() {
    let mut resources = ClusterResources::new("a".into(), bounds());
    let first = object("p", 1, allow("x", Some("**")));
    assert!(resources.apply_changes(applied(first.clone())));
    assert!(!resources.apply_changes(applied(first.clone())));
    assert!(resources.apply_changes(applied(PolicyResource { generation: 2, ..first.clone() })));
    assert!(resources.apply_changes(applied(PolicyResource { uid: "other".into(), generation: 2, ..first })));
}

#[test]
fn an_invalid_deny_keeps_its_last_version_and_an_invalid_allow_does_not() {
    let mut resources = ClusterResources::new("a".into(), bounds());
    let broken = |mut spec: Value| {
        spec["condition"] = json!("1 +");
        spec
    };
    resources.apply_changes(applied(object("team-a/deny", 1, deny())));
    resources.apply_changes(applied(object("team-a/allow", 1, allow("teams/team-a", None))));
    assert_eq!(names(&resources.resolve_names(no_owner)), ["team-a/allow", "team-a/deny"]);
    resources.apply_changes(applied(object("team-a/deny", 2, broken(deny()))));
    resources.apply_changes(applied(object("team-a/allow", 2, broken(allow("teams/team-a", None)))));
    assert_eq!(names(&resources.resolve_names(no_owner)), ["team-a/deny"]);
    assert_eq!(
        (reason(&resources, "team-a/deny"), reason(&resources, "team-a/allow")),
        ("Invalid".into(), "Invalid".into())
    );
    let in_api = resources.active_resources().filter(|(_, resource)| resource.to_record().is_some()).count();
    assert_eq!(in_api, 0, "an invalid version is not in the API");
    // Another invalid version still denies, except one whose effect is clearly allow.
    resources.apply_changes(applied(object("team-a/deny", 3, broken(deny()))));
    assert_eq!(names(&resources.resolve_names(no_owner)), ["team-a/deny"]);
    resources.apply_changes(applied(object("team-a/deny", 4, broken(allow("teams/team-a", None)))));
    assert!(resources.resolve_names(no_owner).is_empty());
}

/// Whether the request is denied for a pod of `team-a`, of `team-b`, and of `team-a` in another cluster.
fn denied(resources: &mut ClusterResources) -> [bool; 3] {
    let set = PolicySet::new(resources.resolve_names(no_owner));
    [("a", "team-a"), ("a", "team-b"), ("b", "team-a")].map(|(cluster, namespace)| {
        let decision = set.decide(&pod(cluster, namespace), &Facts::default(), &site_request());
        matches!(decision, Decision::Denied(Denial::DeniedByPolicy(_)))
    })
}

#[test]
fn an_invalid_deny_without_a_valid_version_denies_broadly() {
    let of = |part: &str, value: Value| {
        let mut spec = deny();
        spec["repos"] = json!(["site"]);
        spec[part] = value;
        spec
    };
    let other = |part: &str, value: Value| {
        let mut spec = of(part, value);
        spec["repos"] = json!(["other"]);
        spec
    };
    for (spec, denies) in [
        // Valid fields apply, and invalid fields match everything.
        (of("condition", json!("1 +")), true),
        (other("condition", json!("1 +")), false),
        (of("repos", json!(["["])), true),
        (of("branches", json!(["["])), true),
        (other("branches", json!(["["])), false),
        (of("attest", json!({"repo": "1 +"})), true),
        (other("attest", json!({"repo": "1 +"})), true),
        (of("subjects", json!([])), true),
        (of("subjects", json!([{"kubernetes": {"serviceAccounts": ["other"]}}, {"oidc": {"issuer": "x"}}])), true),
        (of("secrets", json!([{"store": "none", "path": "x"}])), true),
        (other("secrets", json!([{"store": "none", "path": "x"}])), false),
        (of("typo", json!(1)), true),
        // Its effect is allow, or it is in shadow mode.
        (of("effect", json!("allow")), false),
        (of("mode", json!("audit")), true),
    ] {
        let mut resources = ClusterResources::new("a".into(), bounds());
        let is_valid = spec["mode"] == "audit";
        resources.apply_changes(applied(object("team-a/p", 3, spec.clone())));
        assert_eq!(denied(&mut resources), [denies && !is_valid, false, false], "{spec}");
        assert_eq!(reason(&resources, "team-a/p") == "Accepted", is_valid, "{spec}");
        let message = resources.pending_statuses()[0].status.message.to_string();
        assert_eq!(message.contains("It denies nevertheless"), !is_valid && spec["effect"] == "deny", "{message}");
        let listed = resources.active_resources().filter(|(_, resource)| resource.to_record().is_some());
        assert_eq!(listed.count(), usize::from(is_valid), "{spec}");
    }
    // A cluster policy with invalid subjects denies all callers.
    let mut resources = ClusterResources::new("a".into(), bounds());
    let mut spec = of("subjects", json!([{"kubernetes": {"namespaces": ["["], "serviceAccounts": ["x"]}}]));
    resources.apply_changes(applied(object("p", 3, spec.clone())));
    assert_eq!(denied(&mut resources), [true, true, true]);
    spec["subjects"][0]["kubernetes"]["namespaces"] = json!(["team-b"]);
    spec["subjects"][0]["kubernetes"]["serviceAccounts"] = json!(["build"]);
    spec["condition"] = json!("1 +");
    resources.apply_changes(applied(object("p", 4, spec.clone())));
    assert_eq!(denied(&mut resources), [false, true, false], "each invalid version is compiled again");
    spec["effect"] = json!("allow");
    resources.apply_changes(applied(object("p", 5, spec)));
    assert_eq!(denied(&mut resources), [false, false, false]);
}

#[test]
fn a_starting_replica_denies_by_an_invalid_deny_policy() {
    let good = object("team-a/p", 1, deny());
    let mut broken = deny();
    broken["repos"] = json!(["["]);
    let broken = object("team-a/p", 2, broken);
    let mut running = ClusterResources::new("a".into(), bounds());
    running.apply_changes(applied(good.clone()));
    running.apply_changes(applied(broken.clone()));
    let mut started = ClusterResources::new("a".into(), bounds());
    started.apply_changes(vec![ResourceChange::Listed(ResourceKind::Policy, vec![broken.clone()])]);
    assert_eq!(denied(&mut running), [true, false, false]);
    assert_eq!(denied(&mut started), [true, false, false]);
    // Another object with the same name has no previous version.
    running.apply_changes(applied(PolicyResource { uid: "other".into(), ..broken }));
    assert_eq!(denied(&mut running), [true, false, false]);
    assert!(running.pending_statuses()[0].status.message.contains("It denies nevertheless"));
    // The corrected version applies as it is written.
    let mut corrected = deny();
    corrected["repos"] = json!(["other"]);
    for resources in [&mut running, &mut started] {
        resources.apply_changes(applied(object("team-a/p", 3, corrected.clone())));
        assert_eq!(denied(resources), [false, false, false]);
    }
}

#[test]
fn a_deny_that_is_too_large_denies_its_whole_namespace() {
    for may_deny in [true, false] {
        let mut resources = ClusterResources::new("a".into(), bounds());
        let spec = ResourceSpec::TooLarge { may_deny };
        resources.apply_changes(applied(PolicyResource { spec, ..object("team-a/p", 1, Value::Null) }));
        assert_eq!(denied(&mut resources), [may_deny, false, false]);
        assert!(resources.pending_statuses()[0].status.message.starts_with("/spec: must have at most 65536 bytes"));
    }
}

#[test]
fn a_taken_name_is_a_conflict_until_it_is_free() {
    let mut resources = ClusterResources::new("a".into(), bounds());
    resources.apply_changes(applied(object("p", 1, allow("x", Some("**")))));
    for holder in [NameOwner::File, NameOwner::Api, NameOwner::Cluster("b".into())] {
        assert!(resources.resolve_names(|name| (name == "p").then(|| holder.clone())).is_empty());
        assert_eq!(reason(&resources, "p"), "NameConflict");
    }
    assert_eq!(names(&resources.resolve_names(no_owner)), ["p"]);
    assert_eq!(reason(&resources, "p"), "Accepted");
    assert_eq!(resources.count_by_reason()[&ReadyReason::Accepted], 1);
}

#[test]
fn only_the_oldest_policies_up_to_the_limit_are_active() {
    let mut resources = ClusterResources::new("a".into(), bounds());
    let created = |index: usize| Timestamp::from_second(i64::try_from(2_000 - index).expect("small")).expect("a time");
    for index in 0..=MAX_PER_NAMESPACE {
        let policy = object(&format!("team-a/p-{index:04}"), 1, deny());
        resources.apply_changes(applied(PolicyResource { created_at: created(index), ..policy }));
    }
    resources.apply_changes(applied(object("team-b/p", 1, deny())));
    let active = names(&resources.resolve_names(no_owner));
    assert_eq!(active.len(), MAX_PER_NAMESPACE + 1);
    assert!(!active.contains(&"team-a/p-0000".to_owned()), "the youngest is not active");
    assert!(active.contains(&"team-b/p".to_owned()));
    assert_eq!(reason(&resources, "team-a/p-0000"), "Invalid");
    assert!(resources.keys_to_read_again(ResourceKind::Policy, 10).is_empty());
    resources.apply_changes(vec![ResourceChange::Deleted(key("team-a/p-0007"))]);
    // Its spec was dropped, and has to be read again.
    assert_eq!(resources.resolve_names(no_owner).len(), MAX_PER_NAMESPACE);
    assert_eq!(resources.keys_to_read_again(ResourceKind::Policy, 10), [key("team-a/p-0000")]);
    assert!(resources.keys_to_read_again(ResourceKind::ClusterPolicy, 10).is_empty());
    let youngest = PolicyResource { created_at: created(0), ..object("team-a/p-0000", 1, deny()) };
    resources.apply_changes(applied(PolicyResource { spec: ResourceSpec::Dropped, ..youngest.clone() }));
    assert_eq!(resources.keys_to_read_again(ResourceKind::Policy, 10).len(), 1, "the spec is still missing");
    resources.apply_changes(applied(youngest));
    assert_eq!(resources.resolve_names(no_owner).len(), MAX_PER_NAMESPACE + 1);
    assert!(resources.keys_to_read_again(ResourceKind::Policy, 10).is_empty());
    assert_eq!(reason(&resources, "team-a/p-0000"), "Accepted");
}

#[test]
fn a_deny_with_a_dropped_spec_denies_until_the_spec_is_read() {
    let mut resources = ClusterResources::new("a".into(), bounds());
    resources.apply_changes(applied(object("team-a/p", 1, deny())));
    let dropped = PolicyResource { spec: ResourceSpec::Dropped, ..object("team-a/p", 2, Value::Null) };
    resources.apply_changes(applied(dropped));
    assert_eq!(denied(&mut resources), [true, false, false]);
    assert_eq!(resources.keys_to_read_again(ResourceKind::Policy, 10), [key("team-a/p")]);
    resources.apply_changes(applied(object("team-a/p", 2, allow("teams/team-a", None))));
    assert_eq!(denied(&mut resources), [false, false, false]);
}

#[test]
fn a_status_is_pending_until_it_is_recorded() {
    let mut resources = ClusterResources::new("a".into(), bounds());
    resources.apply_changes(applied(object("p", 3, allow("x", Some("**")))));
    resources.resolve_names(no_owner);
    let pending = resources.pending_statuses();
    assert_eq!((pending.len(), pending[0].status.generation, pending[0].since), (1, 3, None));
    let since = Timestamp::from_second(7).expect("a time");
    let observed = ObservedStatus { status: pending[0].status.clone(), since };
    resources.record_status(&key("p"), "another uid", observed.clone());
    assert_eq!(resources.pending_statuses().len(), 1);
    resources.record_status(&key("p"), &pending[0].uid, observed);
    assert!(resources.pending_statuses().is_empty());
    // The next generation is valid too, so the condition has its value since the same time.
    let mut next = object("p", 4, allow("y", Some("**")));
    next.status = Some(ObservedStatus { status: pending[0].status.clone(), since });
    resources.apply_changes(applied(next.clone()));
    resources.resolve_names(no_owner);
    assert_eq!(resources.pending_statuses()[0].since, Some(since));
    next.generation = 5;
    next.spec = ResourceSpec::Complete(json!({}));
    resources.apply_changes(applied(next));
    resources.resolve_names(no_owner);
    assert_eq!(resources.pending_statuses()[0].since, None, "the condition becomes false");
}

fn pod(cluster: &str, namespace: &str) -> Caller {
    Caller {
        issuer: cluster.into(),
        subject: format!("system:serviceaccount:{namespace}:build"),
        groups: Vec::new(),
        workload: Some(Workload {
            namespace: namespace.into(),
            service_account: "build".into(),
            pod: Pod { name: "p".into(), uid: "u".into() },
        }),
        unbound_account: None,
        claims: Map::new(),
    }
}

fn site_request() -> UnverifiedRequest {
    UnverifiedRequest {
        repo: Some("site".try_into().expect("a repo")),
        branch: Some("main".try_into().expect("a branch")),
        source_ip: [192, 0, 2, 7].into(),
        time: Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn a_namespaced_policy_matches_only_its_cluster() {
    let mut resources = ClusterResources::new("a".into(), bounds());
    resources.apply_changes(applied(object("team-a/allow", 1, allow("teams/{namespace}/x", None))));
    let set = PolicySet::new(resources.resolve_names(no_owner));
    let policy = &set.policies()[0];
    for (cluster, namespace, matches) in
        [("a", "team-a", true), ("b", "team-a", false), ("a", "team-b", false), ("a", "team-ab", false)]
    {
        assert_eq!(policy.has_subject(&pod(cluster, namespace)), matches, "{cluster} {namespace}");
    }
}

#[test]
fn faults_have_pointers_and_the_spec_has_a_maximum_size() {
    let message = |spec: Value| {
        let mut resources = ClusterResources::new("a".into(), bounds());
        resources.apply_changes(applied(object("team-a/p", 1, spec)));
        resources.resolve_names(no_owner);
        resources.pending_statuses()[0].status.message.to_string()
    };
    assert_eq!(message(Value::Null), "/spec: is missing");
    let mut large = allow("teams/team-a", None);
    large["description"] = json!("x".repeat(64 << 10));
    assert_eq!(message(large), "/spec: must have at most 65536 bytes");
    let mut odd = allow("teams/team-a", None);
    odd["repos"] = json!("site");
    odd["branchez"] = json!([]);
    let text = message(odd);
    assert!(text.contains("/spec/repos: ") && text.contains("/spec/branchez: "), "{text}");
    assert!(message(allow("elsewhere", None)).starts_with("/spec/secrets/0/path: lies outside"));
}
