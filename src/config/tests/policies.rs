//! `policies.customResources` and `policies.tenants`.

use super::*;

/// A valid configuration that reads policies from its cluster, and has a tenant.
fn with_tenants() -> Value {
    let mut tree = good();
    tree["policies"]["customResources"] = json!(["cluster"]);
    tree["policies"]["tenants"] =
        json!([{"namespaces": ["team-*"], "ceiling": [{"store": "vault", "pathPrefix": "homelab/{namespace}"}]}]);
    tree
}

#[test]
fn each_bad_value_is_reported_at_its_place() {
    let folder = Folder::new();
    folder.load(&with_tenants().to_string()).expect("good");
    for (pointer, value, expected) in [
        (
            "/policies/customResources/0",
            json!("nobody"),
            "policies.customResources[0]: must be the name of a kubernetes",
        ),
        ("/policies/customResources/0", json!("dev"), "policies.customResources[0]: must be the name of a kubernetes"),
        ("/policies/customResources/0", json!(null), "policies.customResources[0]: must be set"),
        ("/policies/customResources/1", json!("cluster"), "policies.customResources[1]: is listed twice"),
        ("/policies/tenants/0", json!(null), "policies.tenants[0]: must be set"),
        ("/policies/tenants/0/namespaces", json!([]), "policies.tenants[0].namespaces: must have at least one pattern"),
        ("/policies/tenants/0/namespaces/0", json!(null), "policies.tenants[0].namespaces[0]: must be set"),
        ("/policies/tenants/0/ceiling", json!([]), "policies.tenants[0].ceiling: must have at least one entry"),
        (
            "/policies/tenants/0/ceiling/0/store",
            json!("x"),
            "policies.tenants[0].ceiling[0].store: must be the name of a",
        ),
        (
            "/policies/tenants/0/ceiling/0/pathPrefix",
            json!("a/{repo}"),
            "policies.tenants[0].ceiling[0].pathPrefix: the only",
        ),
        (
            "/policies/tenants/0/ceiling/0/pathPrefix",
            json!("a-{namespace}"),
            "policies.tenants[0].ceiling[0].pathPrefix: the only",
        ),
        (
            "/policies/tenants/0/ceiling/0/pathPrefix",
            json!("sys"),
            "policies.tenants[0].ceiling[0].pathPrefix: must not begin",
        ),
        ("/policies/ceiling/0/pathPrefix", json!("{namespace}"), "policies.ceiling[0].pathPrefix: "),
    ] {
        let mut tree = with_tenants();
        set(&mut tree, pointer, value);
        let fault_lines = fault_lines(folder.load(&tree.to_string()));
        assert!(fault_lines.len() == 1 && fault_lines[0].starts_with(expected), "{pointer}: {fault_lines:?}");
    }
}

#[test]
fn similar_good_values_are_accepted() {
    let folder = Folder::new();
    for (pointer, value) in [
        ("/policies/customResources", json!([])),
        ("/policies/tenants", json!([])),
        ("/policies/tenants/0/ceiling/0/pathPrefix", json!("")),
        ("/policies/tenants/0/ceiling/0/pathPrefix", json!("teams/{namespace}/x")),
        ("/policies/tenants/0/namespaces/1", json!("infra")),
    ] {
        let mut tree = with_tenants();
        set(&mut tree, pointer, value.clone());
        folder.load(&tree.to_string()).unwrap_or_else(|faults| panic!("{pointer} {value}: {faults:?}"));
    }
}
