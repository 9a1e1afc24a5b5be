//! The examples of docs/POLICY.md are policies, and decide as the text beside them says.

use super::{asks, bearer, bounds, denied, granted, names, paths, pod};
use crate::document::parse_all;
use crate::policy::{Denial, Policy};
use serde_json::json;

const TEXT: &str = include_str!("../../../docs/POLICY.md");

/// The policies of the n-th YAML block that holds manifests.
fn example(number: usize) -> Vec<Policy> {
    let blocks = TEXT.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().expect("a block"));
    let block = blocks.filter(|block| block.starts_with("apiVersion:")).nth(number).expect("an example");
    let documents = parse_all(block).expect("well-formed");
    documents.into_iter().map(|tree| Policy::from_document(tree, &bounds()).expect("a policy")).collect()
}

#[test]
fn there_are_three_examples() {
    assert_eq!(TEXT.matches("```yaml\napiVersion:").count(), 3);
    assert!(TEXT.lines().count() <= 150);
}

#[test]
fn the_sites_of_one_team() {
    let bot = pod("tekton-web", "build-bot");
    let grant = granted(example(0), &bot, &asks("moreira.dev", "feature/x"));
    assert_eq!(paths(&grant), ["homelab/shared", "homelab/moreira.dev/default", "homelab/moreira.dev/feature~x"]);
    assert_eq!(grant.ttl.map(|ttl| ttl.as_secs()), Some(120));
    for (caller, repo, branch) in [
        (pod("tekton-web", "default"), "moreira.dev", "main"),
        (pod("sandbox", "build-bot"), "moreira.dev", "main"),
        (bot, "other.dev", "main"),
    ] {
        assert_eq!(denied(example(0), &caller, &asks(repo, branch)), Denial::NoPolicyMatches);
    }
}

#[test]
fn everybody_but() {
    let bot = pod("tekton-web", "build-bot");
    assert_eq!(paths(&granted(example(1), &bot, &asks("apps/shop", "main"))), ["homelab/registry"]);
    let denial = denied(example(1), &bot, &asks("apps/shop", "dependabot/npm/x"));
    assert_eq!((denial.as_str(), names(denial.policies())), ("denied_by_policy", vec!["no-bots"]));
}

#[test]
fn a_ci_service_outside_the_cluster() {
    let claims = |environment: &str| json!({"repository_owner_id": "4711", "ref_type": "branch", "environment": environment, "repository_id": "815"});
    let grant = granted(example(2), &bearer("github", claims("production")), &asks("acme/shop", "main"));
    assert_eq!(paths(&grant), ["homelab/github/815/main"]);
    assert_eq!(
        denied(example(2), &bearer("github", claims("preview")), &asks("acme/shop", "main")),
        Denial::NoPolicyMatches
    );
    assert_eq!(
        denied(example(2), &bearer("gitlab", claims("production")), &asks("acme/shop", "main")),
        Denial::NoPolicyMatches
    );
}
