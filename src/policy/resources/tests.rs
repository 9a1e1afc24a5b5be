//! What becomes of the custom resources of a cluster, without one.

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
        spec: ResourceSpec::Whole(spec),
        status: None,
    }
}

fn applied(object: PolicyResource) -> Vec<ResourceChange> {
    vec![ResourceChange::Applied(Box::new(object))]
}

fn nobody(_: &str) -> Option<Holder> {
    None
}

fn names(policies: &[Arc<Policy>]) -> Vec<String> {
    policies.iter().map(|policy| policy.name().to_string()).collect()
}

fn reason(resources: &Resources, name: &str) -> String {
    let pending = resources.pending();
    let found = pending.iter().find(|one| one.key == key(name)).expect(name);
    assert_eq!(found.status.ready, &*found.status.reason == "Accepted");
    found.status.reason.to_string()
}

#[test]
fn a_cluster_is_read_when_both_kinds_are() {
    let mut resources = Resources::new("a".into(), bounds());
    assert!(!resources.is_read());
    assert!(
        resources.take_over(vec![ResourceChange::Listed(ResourceKind::Policy, Vec::new())]),
        "the first list counts"
    );
    assert!(!resources.is_read());
    resources.take_over(vec![ResourceChange::Listed(ResourceKind::ClusterPolicy, Vec::new())]);
    assert!(resources.is_read());
    let again = vec![ResourceChange::Listed(ResourceKind::ClusterPolicy, Vec::new())];
    assert!(!resources.take_over(again), "nothing changed");
}

#[test]
fn a_list_takes_away_what_is_not_in_it_of_its_kind_alone() {
    let mut resources = Resources::new("a".into(), bounds());
    let all = allow("teams/x", Some("**"));
    resources.take_over(applied(object("one", 1, all.clone())));
    resources.take_over(applied(object("team-a/two", 1, allow("teams/team-a", None))));
    assert_eq!(names(&resources.resolve_names(nobody)), ["one", "team-a/two"]);
    resources.take_over(vec![ResourceChange::Listed(ResourceKind::ClusterPolicy, vec![object("three", 1, all)])]);
    assert_eq!(names(&resources.resolve_names(nobody)), ["three", "team-a/two"]);
    resources.take_over(vec![ResourceChange::Deleted(key("team-a/two"))]);
    assert_eq!(names(&resources.resolve_names(nobody)), ["three"]);
}

#[test]
fn only_another_generation_or_object_is_compiled_again() {
    let mut resources = Resources::new("a".into(), bounds());
    let first = object("p", 1, allow("x", Some("**")));
    assert!(resources.take_over(applied(first.clone())));
    assert!(!resources.take_over(applied(first.clone())));
    assert!(resources.take_over(applied(PolicyResource { generation: 2, ..first.clone() })));
    assert!(resources.take_over(applied(PolicyResource { uid: "other".into(), generation: 2, ..first })));
}

#[test]
fn a_broken_deny_stays_and_a_broken_allow_goes() {
    let mut resources = Resources::new("a".into(), bounds());
    let broken = |mut spec: Value| {
        spec["condition"] = json!("1 +");
        spec
    };
    resources.take_over(applied(object("team-a/deny", 1, deny())));
    resources.take_over(applied(object("team-a/allow", 1, allow("teams/team-a", None))));
    assert_eq!(names(&resources.resolve_names(nobody)), ["team-a/allow", "team-a/deny"]);
    resources.take_over(applied(object("team-a/deny", 2, broken(deny()))));
    resources.take_over(applied(object("team-a/allow", 2, broken(allow("teams/team-a", None)))));
    assert_eq!(names(&resources.resolve_names(nobody)), ["team-a/deny"]);
    assert_eq!(
        (reason(&resources, "team-a/deny"), reason(&resources, "team-a/allow")),
        ("Invalid".into(), "Invalid".into())
    );
    assert_eq!(resources.shown().count(), 0, "what is not active as it is written is not shown");
    // It is broken once more, and still denies; one that plainly allows does not.
    resources.take_over(applied(object("team-a/deny", 3, broken(deny()))));
    assert_eq!(names(&resources.resolve_names(nobody)), ["team-a/deny"]);
    resources.take_over(applied(object("team-a/deny", 4, broken(allow("teams/team-a", None)))));
    assert!(resources.resolve_names(nobody).is_empty());
}

/// Which of these may have `site`: pods of `team-a`, of `team-b`, and of `team-a` of another cluster.
fn denied(resources: &mut Resources) -> [bool; 3] {
    let set = PolicySet::new(resources.resolve_names(nobody));
    [("a", "team-a"), ("a", "team-b"), ("b", "team-a")].map(|(cluster, namespace)| {
        let decision = set.decide(&pod(cluster, namespace), &Facts::default(), &site());
        matches!(decision, Decision::Denied(Denial::DeniedByPolicy(_)))
    })
}

#[test]
fn a_broken_deny_without_a_good_version_denies_what_it_can_be_read_to_deny() {
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
        // What can be read holds, and the rest matches everything.
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
        // It plainly allows, or changes nothing.
        (of("effect", json!("allow")), false),
        (of("mode", json!("audit")), true),
    ] {
        let mut resources = Resources::new("a".into(), bounds());
        let is_good = spec["mode"] == "audit";
        resources.take_over(applied(object("team-a/p", 3, spec.clone())));
        assert_eq!(denied(&mut resources), [denies && !is_good, false, false], "{spec}");
        assert_eq!(reason(&resources, "team-a/p") == "Accepted", is_good, "{spec}");
        let told = resources.pending()[0].status.message.to_string();
        assert_eq!(told.contains("It denies nevertheless"), !is_good && spec["effect"] == "deny", "{told}");
        assert_eq!(resources.shown().count(), usize::from(is_good), "{spec}");
    }
    // One of the cluster denies all callers that it may mean.
    let mut resources = Resources::new("a".into(), bounds());
    let mut spec = of("subjects", json!([{"kubernetes": {"namespaces": ["["], "serviceAccounts": ["x"]}}]));
    resources.take_over(applied(object("p", 3, spec.clone())));
    assert_eq!(denied(&mut resources), [true, true, true]);
    spec["subjects"][0]["kubernetes"]["namespaces"] = json!(["team-b"]);
    spec["subjects"][0]["kubernetes"]["serviceAccounts"] = json!(["build"]);
    spec["condition"] = json!("1 +");
    resources.take_over(applied(object("p", 4, spec.clone())));
    assert_eq!(denied(&mut resources), [false, true, false], "each broken version is read anew");
    spec["effect"] = json!("allow");
    resources.take_over(applied(object("p", 5, spec)));
    assert_eq!(denied(&mut resources), [false, false, false]);
}

#[test]
fn a_replica_that_starts_denies_what_the_others_deny_of_a_broken_policy() {
    let good = object("team-a/p", 1, deny());
    let mut broken = deny();
    broken["repos"] = json!(["["]);
    let broken = object("team-a/p", 2, broken);
    let mut running = Resources::new("a".into(), bounds());
    running.take_over(applied(good.clone()));
    running.take_over(applied(broken.clone()));
    let mut started = Resources::new("a".into(), bounds());
    started.take_over(vec![ResourceChange::Listed(ResourceKind::Policy, vec![broken.clone()])]);
    assert_eq!(denied(&mut running), [true, false, false]);
    assert_eq!(denied(&mut started), [true, false, false]);
    // Another object of the name has no history.
    running.take_over(applied(PolicyResource { uid: "other".into(), ..broken }));
    assert_eq!(denied(&mut running), [true, false, false]);
    assert!(running.pending()[0].status.message.contains("It denies nevertheless"));
    // The twin: corrected, it is as it is written.
    let mut corrected = deny();
    corrected["repos"] = json!(["other"]);
    for resources in [&mut running, &mut started] {
        resources.take_over(applied(object("team-a/p", 3, corrected.clone())));
        assert_eq!(denied(resources), [false, false, false]);
    }
}

#[test]
fn a_deny_that_is_too_large_denies_all_of_its_namespace_and_an_allow_grants_nothing() {
    for may_deny in [true, false] {
        let mut resources = Resources::new("a".into(), bounds());
        let spec = ResourceSpec::TooLarge { may_deny };
        resources.take_over(applied(PolicyResource { spec, ..object("team-a/p", 1, Value::Null) }));
        assert_eq!(denied(&mut resources), [may_deny, false, false]);
        assert!(resources.pending()[0].status.message.starts_with("/spec: must have at most 65536 bytes"));
    }
}

#[test]
fn a_name_that_is_taken_is_a_conflict_while_it_is_taken() {
    let mut resources = Resources::new("a".into(), bounds());
    resources.take_over(applied(object("p", 1, allow("x", Some("**")))));
    for holder in [Holder::File, Holder::Api, Holder::Cluster("b".into())] {
        assert!(resources.resolve_names(|name| (name == "p").then(|| holder.clone())).is_empty());
        assert_eq!(reason(&resources, "p"), "NameConflict");
    }
    assert_eq!(names(&resources.resolve_names(nobody)), ["p"]);
    assert_eq!(reason(&resources, "p"), "Accepted");
    assert_eq!(resources.counts()[&Reason::Accepted], 1);
}

#[test]
fn the_oldest_of_too_many_are_active() {
    let mut resources = Resources::new("a".into(), bounds());
    let created = |at: usize| Timestamp::from_second(i64::try_from(2_000 - at).expect("small")).expect("a time");
    for at in 0..=MAX_OF_A_NAMESPACE {
        let policy = object(&format!("team-a/p-{at:04}"), 1, deny());
        resources.take_over(applied(PolicyResource { created_at: created(at), ..policy }));
    }
    resources.take_over(applied(object("team-b/p", 1, deny())));
    let active = names(&resources.resolve_names(nobody));
    assert_eq!(active.len(), MAX_OF_A_NAMESPACE + 1);
    assert!(!active.contains(&"team-a/p-0000".to_owned()), "the youngest");
    assert!(active.contains(&"team-b/p".to_owned()));
    assert_eq!(reason(&resources, "team-a/p-0000"), "Invalid");
    assert!(resources.wanted(ResourceKind::Policy, 10).is_empty());
    resources.take_over(vec![ResourceChange::Deleted(key("team-a/p-0007"))]);
    // Its spec was not kept, and is to be read again.
    assert_eq!(resources.resolve_names(nobody).len(), MAX_OF_A_NAMESPACE);
    assert_eq!(resources.wanted(ResourceKind::Policy, 10), [key("team-a/p-0000")]);
    assert!(resources.wanted(ResourceKind::ClusterPolicy, 10).is_empty());
    let youngest = PolicyResource { created_at: created(0), ..object("team-a/p-0000", 1, deny()) };
    resources.take_over(applied(PolicyResource { spec: ResourceSpec::Dropped, ..youngest.clone() }));
    assert_eq!(resources.wanted(ResourceKind::Policy, 10).len(), 1, "it is still not there");
    resources.take_over(applied(youngest));
    assert_eq!(resources.resolve_names(nobody).len(), MAX_OF_A_NAMESPACE + 1);
    assert!(resources.wanted(ResourceKind::Policy, 10).is_empty());
    assert_eq!(reason(&resources, "team-a/p-0000"), "Accepted");
}

#[test]
fn a_deny_whose_new_spec_was_not_kept_goes_on_denying_until_it_is_read() {
    let mut resources = Resources::new("a".into(), bounds());
    resources.take_over(applied(object("team-a/p", 1, deny())));
    let dropped = PolicyResource { spec: ResourceSpec::Dropped, ..object("team-a/p", 2, Value::Null) };
    resources.take_over(applied(dropped));
    assert_eq!(denied(&mut resources), [true, false, false]);
    assert_eq!(resources.wanted(ResourceKind::Policy, 10), [key("team-a/p")]);
    resources.take_over(applied(object("team-a/p", 2, allow("teams/team-a", None))));
    assert_eq!(denied(&mut resources), [false, false, false]);
}

#[test]
fn a_status_is_pending_until_it_is_seen() {
    let mut resources = Resources::new("a".into(), bounds());
    resources.take_over(applied(object("p", 3, allow("x", Some("**")))));
    resources.resolve_names(nobody);
    let pending = resources.pending();
    assert_eq!((pending.len(), pending[0].status.generation, pending[0].since), (1, 3, None));
    let since = Timestamp::from_second(7).expect("a time");
    let observed = ObservedStatus { status: pending[0].status.clone(), since };
    resources.written(&key("p"), "another uid", observed.clone());
    assert_eq!(resources.pending().len(), 1);
    resources.written(&key("p"), &pending[0].uid, observed);
    assert!(resources.pending().is_empty());
    // The next generation is as good: the condition has its truth value since then.
    let mut next = object("p", 4, allow("y", Some("**")));
    next.status = Some(ObservedStatus { status: pending[0].status.clone(), since });
    resources.take_over(applied(next.clone()));
    resources.resolve_names(nobody);
    assert_eq!(resources.pending()[0].since, Some(since));
    next.generation = 5;
    next.spec = ResourceSpec::Whole(json!({}));
    resources.take_over(applied(next));
    resources.resolve_names(nobody);
    assert_eq!(resources.pending()[0].since, None, "it is false from now on");
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
        unbound: None,
        claims: Map::new(),
    }
}

fn site() -> UnverifiedRequest {
    UnverifiedRequest {
        repo: Some("site".try_into().expect("a repo")),
        branch: Some("main".try_into().expect("a branch")),
        source_ip: [192, 0, 2, 7].into(),
        time: Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn the_policy_of_a_namespace_is_that_of_its_cluster_too() {
    let mut resources = Resources::new("a".into(), bounds());
    resources.take_over(applied(object("team-a/allow", 1, allow("teams/{namespace}/x", None))));
    let set = PolicySet::new(resources.resolve_names(nobody));
    let policy = &set.policies()[0];
    for (cluster, namespace, matches) in
        [("a", "team-a", true), ("b", "team-a", false), ("a", "team-b", false), ("a", "team-ab", false)]
    {
        assert_eq!(policy.has_subject(&pod(cluster, namespace)), matches, "{cluster} {namespace}");
    }
}

#[test]
fn a_spec_is_bounded_and_its_faults_have_places_in_the_object() {
    let told = |spec: Value| {
        let mut resources = Resources::new("a".into(), bounds());
        resources.take_over(applied(object("team-a/p", 1, spec)));
        resources.resolve_names(nobody);
        resources.pending()[0].status.message.to_string()
    };
    assert_eq!(told(Value::Null), "/spec: is missing");
    let mut large = allow("teams/team-a", None);
    large["description"] = json!("x".repeat(64 << 10));
    assert_eq!(told(large), "/spec: must have at most 65536 bytes");
    let mut odd = allow("teams/team-a", None);
    odd["repos"] = json!("site");
    odd["branchez"] = json!([]);
    let message = told(odd);
    assert!(message.contains("/spec/repos: ") && message.contains("/spec/branchez: "), "{message}");
    assert!(told(allow("elsewhere", None)).starts_with("/spec/secrets/0/path: lies outside"));
}
