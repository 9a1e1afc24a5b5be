//! With more than one cluster, the settings that separate their tokens and administrators are required.

use super::*;

/// A valid configuration with these clusters instead of its one.
fn with(folder: &Folder, clusters: &[Value], reviewed: &Value) -> Result<Config, Vec<Fault>> {
    let mut tree = good();
    let mut authenticators = clusters.to_vec();
    authenticators.push(tree["authenticators"][1].clone());
    tree["authenticators"] = json!(authenticators);
    tree["administrators"]["subjectAccessReview"] = reviewed.clone();
    folder.load(&tree.to_string())
}

fn cluster(name: &str, changes: &Value) -> Value {
    let mut kubernetes = json!({"issuer": format!("https://{name}")});
    kubernetes.as_object_mut().expect("a map").extend(changes.as_object().expect("a map").clone());
    json!({"name": name, "kubernetes": kubernetes})
}

#[test]
fn several_clusters_need_issuers_and_a_choice_of_administrators() {
    let folder = Folder::new();
    let (one, other) = (cluster("a", &json!({"kubeconfig": "kubeconfig"})), cluster("b", &json!({})));
    let both = [one.clone(), other.clone()];
    for (reviewed, names) in
        [(json!(false), vec![]), (json!([]), vec![]), (json!(["b"]), vec!["b"]), (json!(["b", "a"]), vec!["b", "a"])]
    {
        let config = with(&folder, &both, &reviewed).expect("good");
        let asked: Vec<&str> = config.administrators.subject_access_review.iter().map(|name| &**name).collect();
        assert_eq!(asked, names, "{reviewed}");
    }
    for reviewed in [json!(true), json!(null)] {
        let fault_lines = fault_lines(with(&folder, &both, &reviewed));
        assert!(
            fault_lines[0]
                .starts_with("administrators.subjectAccessReview: must not be true where there is more than one"),
            "{fault_lines:?}"
        );
        assert_eq!(fault_lines.len(), 1);
    }
    let without = json!({"name": "b", "kubernetes": {}});
    let fault_lines = fault_lines(with(&folder, &[one, without.clone()], &json!(false)));
    assert!(
        fault_lines[0].starts_with("authenticators[1].kubernetes.issuer: must be set where there is more than one"),
        "{fault_lines:?}"
    );
    assert_eq!(fault_lines.len(), 1);
    assert!(with(&folder, &[without], &json!(true)).is_ok(), "a single cluster needs no issuer");
}

#[test]
fn two_clusters_must_not_accept_the_same_tokens() {
    let folder = Folder::new();
    let of = |issuer: &str, audience: &str, kubeconfig: &Value| json!({"issuer": issuer, "audience": audience, "kubeconfig": kubeconfig});
    let (here, there) = (json!(null), json!("kubeconfig"));
    for (one, other, good) in [
        (of("https://i", "claviger", &here), of("https://i", "claviger", &there), false),
        (of("https://i", "claviger", &here), of("https://i", "claviger-b", &there), true),
        (of("https://i", "claviger", &here), of("https://i/", "claviger", &there), true),
        (of("https://i", "claviger", &here), of("https://i", "claviger", &here), true),
    ] {
        let result = with(&folder, &[cluster("a", &one), cluster("b", &other)], &json!(false));
        let fault_lines: Vec<String> = result.err().unwrap_or_default().iter().map(Fault::dotted_path).collect();
        let expected = if good { vec![] } else { vec!["authenticators[1].kubernetes.issuer".to_owned()] };
        assert_eq!(fault_lines, expected, "{one} {other}");
    }
}

#[test]
fn two_authenticators_of_one_cluster_must_not_both_have_custom_resources() {
    let folder = Folder::new();
    let of = |kubeconfigs: [&Value; 2]| {
        let mut tree = good();
        let names = ["a", "b"].into_iter().zip(kubeconfigs);
        let clusters = names.map(|(name, kubeconfig)| cluster(name, &json!({"kubeconfig": kubeconfig})));
        tree["authenticators"] = clusters.chain([tree["authenticators"][1].clone()]).collect();
        tree["administrators"]["subjectAccessReview"] = json!(false);
        tree["policies"]["customResources"] = json!(["a", "b"]);
        folder.load(&tree.to_string())
    };
    let config = of([&json!("kubeconfig"), &json!(null)]).expect("good");
    assert_eq!(config.policies.custom_resources.len(), 2);
    let fault_lines = fault_lines(of([&json!("kubeconfig"), &json!("kubeconfig")]));
    assert_eq!(fault_lines, ["policies.customResources[1]: is for the same cluster as another entry of the list"]);
}
