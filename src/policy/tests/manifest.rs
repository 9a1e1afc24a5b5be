//! Manifests: the fields around the spec; decoding faults are reported together with other faults.

use super::{bounds, faults_as_text};
use crate::document::parse;
use crate::policy::Policy;

const GOOD: &str = "
apiVersion: claviger.dev/v1alpha1
kind: Policy
metadata: {name: site-builds}
spec:
  subjects: [{kubernetes: {namespaces: [ci], serviceAccounts: [build-bot]}}]
  repos: [site]
  branches: [main]
  secrets: [{store: vault, path: homelab/shared}]
";

fn faults(text: &str) -> Vec<String> {
    faults_as_text(Policy::from_document(parse(text).expect("well-formed"), &bounds()).map(|_| ()))
}

#[test]
fn a_valid_manifest_compiles() {
    let policy = Policy::from_document(parse(GOOD).expect("well-formed"), &bounds()).expect("good");
    assert_eq!(&**policy.name(), "site-builds");
}

#[test]
fn kubernetes_metadata_is_ignored() {
    let plain = Policy::from_document(parse(GOOD).expect("well-formed"), &bounds()).expect("good");
    for metadata in [
        "labels: {app.kubernetes.io/managed-by: kustomize}, annotations: {a: b}, namespace: ci, creationTimestamp: null",
        "creationTimestamp: '2026-01-01T00:00:00Z', uid: u, resourceVersion: '7', generation: 1, selfLink: /x",
        "generateName: x-, finalizers: [a], ownerReferences: [{kind: K}], managedFields: [{manager: kubectl}]",
        "deletionTimestamp: null, deletionGracePeriodSeconds: 30, labels: null, annotations: {}",
    ] {
        let text = GOOD.replace("{name: site-builds}", &format!("{{name: site-builds, {metadata}}}"));
        let policy = Policy::from_document(parse(&text).expect("well-formed"), &bounds()).expect(metadata);
        assert_eq!((policy.name(), policy.revision()), (plain.name(), plain.revision()), "{metadata}");
    }
}

#[test]
fn the_fields_around_the_spec_are_checked() {
    for (from, to, expected) in [
        ("v1alpha1", "v1", "/apiVersion: must be claviger.dev/v1alpha1"),
        ("apiVersion: claviger.dev/v1alpha1\n", "", "/apiVersion: must be claviger.dev/v1alpha1"),
        ("kind: Policy", "kind: Pod", "/kind: must be Policy or ClusterPolicy"),
        ("metadata: {name: site-builds}\n", "", "/metadata/name: is missing"),
        ("site-builds", "null", "/metadata/name: is missing"),
        ("{name: site-builds}", "{name: a, lables: {}}", "/metadata/lables: unknown key"),
        ("{name: site-builds}", "{name: a, Labels: {}}", "/metadata/Labels: unknown key"),
        ("kind: Policy", "kind: Policy\nstatus: {}", "/status: unknown key"),
    ] {
        assert_eq!(faults(&GOOD.replace(from, to)), [expected], "{to}");
    }
    let bad_name = faults(&GOOD.replace("site-builds", "Site"));
    assert!(bad_name.len() == 1 && bad_name[0].starts_with("/metadata/name: must be"), "{bad_name:?}");
    assert_eq!(faults(GOOD.split("spec:").next().expect("a head")), ["/spec: is missing"]);
    assert_eq!(faults("[]"), [": must be a map"]);
    assert_eq!(faults(&GOOD.replace("{name: site-builds}", "[site-builds]")), ["/metadata: must be a map"]);
}

#[test]
fn all_faults_are_reported_once() {
    let text = "
apiVersion: claviger.dev/v1alpha1
kind: Policy
metadata: {name: site-builds}
spec:
  effects: deny
  subjects: [{kubernetes: {namespaces: hunter2, serviceAccounts: ['a**']}}, 5]
  repos: [site, 7, '[']
  branches: main
  secrets: [{store: vault, path: [homelab]}, {store: nowhere, path: sys/x, required: maybe}]
";
    let mut found = faults(text);
    found.sort();
    let places: Vec<&str> = found.iter().map(|fault| fault.split(": ").next().expect("a pointer")).collect();
    assert_eq!(
        places,
        [
            "/spec/branches",
            "/spec/effects",
            "/spec/repos/1",
            "/spec/repos/2",
            "/spec/secrets/0/path",
            "/spec/secrets/1/path",
            "/spec/secrets/1/required",
            "/spec/secrets/1/store",
            "/spec/subjects/0/kubernetes/namespaces",
            "/spec/subjects/0/kubernetes/serviceAccounts/0",
            "/spec/subjects/1",
        ]
    );
    assert!(!found.join(" ").contains("hunter2"));
}
