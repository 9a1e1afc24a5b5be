//! Compilation: all faults are reported at once, each with its JSON pointer.

use super::{bounds, bounds_with_ceiling, faults, faults_as_text, faults_within, policy, spec};
use crate::policy::Policy;

const GOOD: &str = r#"
description: build-time secrets of the web sites
effect: allow
attest: {branch: 'caller.pod.labels["branch"]'}
condition: '!caller.namespace.startsWith("sandbox-")'
subjects:
  - kubernetes: {namespaces: ["tekton-*"], serviceAccounts: ["build-bot"]}
  - oidc: {issuer: github, claims: {repository_owner: "acme", environment: "prod*"}}
repos: ["moreira.dev", "apps/*"]
branches: ["main", "release/**"]
secrets:
  - {store: vault, path: "homelab/shared"}
  - store: vault
    path: "homelab/{repo}/{branch}"
    required: true
    keys: ["GITHUB_TOKEN", "NPM_*", "token"]
    rename: {token: GH_TOKEN}
    prefix: ""
    lease: perPod
ticket: {ttl: 2m, bindTo: ip}
delivery: [ticket, direct]
"#;

const ATTEST: &str = r#"attest: {branch: 'caller.pod.labels["branch"]'}"#;
const CONDITION: &str = r#"condition: '!caller.namespace.startsWith("sandbox-")'"#;

/// A valid spec with one line changed.
fn replace_line(line: &str, changed: &str) -> String {
    assert!(GOOD.contains(line), "{line}");
    GOOD.replace(line, changed)
}

#[test]
fn a_spec_with_all_fields_compiles() {
    assert_eq!(faults(GOOD), Vec::<String>::new());
}

#[test]
fn a_fault_has_the_pointer_of_its_field() {
    for (line, changed, pointer) in [
        ("effect: allow", "effect: permit", "/spec/effect"),
        (CONDITION, "condition: 'maybe'", "/spec/condition"),
        (ATTEST, "attest: {repo: 'x'}", "/spec/attest/repo"),
        (ATTEST, "attest: {branch: 'x'}", "/spec/attest/branch"),
        (ATTEST, "attest: {}", "/spec/attest"),
        (ATTEST, "attest: {repo: 'request.repo'}", "/spec/attest/repo"),
        (ATTEST, "attest: {repo: 'caller.namespace + request.branch'}", "/spec/attest/repo"),
        (ATTEST, "attest: {branch: 'request.branch + \"\"'}", "/spec/attest/branch"),
        ("[\"tekton-*\"]", "[]", "/spec/subjects/0/kubernetes/namespaces"),
        ("[\"tekton-*\"]", "[\"a**\"]", "/spec/subjects/0/kubernetes/namespaces/0"),
        ("[\"tekton-*\"]", "[a, null]", "/spec/subjects/0/kubernetes/namespaces/1"),
        (", serviceAccounts: [\"build-bot\"]", "", "/spec/subjects/0/kubernetes/serviceAccounts"),
        ("issuer: github, ", "", "/spec/subjects/1/oidc/issuer"),
        ("issuer: github", "issuer: nobody", "/spec/subjects/1/oidc/issuer"),
        ("issuer: github", "issuer: cluster", "/spec/subjects/1/oidc/issuer"),
        ("claims: {repository_owner: \"acme\", environment: \"prod*\"}", "claims: {}", "/spec/subjects/1/oidc/claims"),
        ("\"prod*\"", "null", "/spec/subjects/1/oidc/claims/environment"),
        ("\"prod*\"", "\"dependabot[bot]\"", "/spec/subjects/1/oidc/claims/environment"),
        ("\"prod*\"", "{}", "/spec/subjects/1/oidc/claims/environment/is"),
        ("environment: \"prod*\"", "\"https://a/b\": \"[\"", "/spec/subjects/1/oidc/claims/https:~1~1a~1b"),
        ("  - oidc: {", "  - {}\n  - oidc: {", "/spec/subjects/1"),
        ("  - oidc: {", "  - null\n  - oidc: {", "/spec/subjects/1"),
        ("  - oidc: {", "  - kubernetes: {namespaces: [a], serviceAccounts: [a]}\n    oidc: {", "/spec/subjects/1"),
        ("repos: [\"moreira.dev\", \"apps/*\"]", "repos: []", "/spec/repos"),
        ("\"apps/*\"", "\"{repo}\"", "/spec/repos/1"),
        ("branches: [\"main\", \"release/**\"]", "", "/spec/branches"),
        ("\"release/**\"", "\"\"", "/spec/branches/1"),
        ("{store: vault, path: \"homelab/shared\"}", "{path: a}", "/spec/secrets/0/store"),
        ("{store: vault, path: \"homelab/shared\"}", "{store: other, path: a}", "/spec/secrets/0/store"),
        ("{store: vault, path: \"homelab/shared\"}", "{store: vault}", "/spec/secrets/0/path"),
        ("{store: vault, path: \"homelab/shared\"}", "null", "/spec/secrets/0"),
        ("\"homelab/shared\"", "\"sys/health\"", "/spec/secrets/0/path"),
        ("\"homelab/shared\"", "\"x/{nothing}\"", "/spec/secrets/0/path"),
        ("[\"GITHUB_TOKEN\", \"NPM_*\", \"token\"]", "[]", "/spec/secrets/1/keys"),
        ("\"NPM_*\"", "\"NPM_**\"", "/spec/secrets/1/keys/1"),
        ("{token: GH_TOKEN}", "{token: null}", "/spec/secrets/1/rename/token"),
        ("{token: GH_TOKEN}", "{token: \"\"}", "/spec/secrets/1/rename/token"),
        ("{token: GH_TOKEN}", "{other: GH_TOKEN}", "/spec/secrets/1/rename/other"),
        ("{token: GH_TOKEN}", "{\"NPM_*\": GH_TOKEN}", "/spec/secrets/1/rename/NPM_*"),
        ("{token: GH_TOKEN}", "{token: GITHUB_TOKEN}", "/spec/secrets/1/rename/token"),
        ("{token: GH_TOKEN}", "{token: GH_TOKEN, NPM_TOKEN: GH_TOKEN}", "/spec/secrets/1/rename/token"),
        ("lease: perPod", "lease: perNode", "/spec/secrets/1/lease"),
        ("ttl: 2m", "ttl: soon", "/spec/ticket/ttl"),
        ("ttl: 2m", "ttl: 999ms", "/spec/ticket/ttl"),
        ("ttl: 2m", "ttl: 15m1s", "/spec/ticket/ttl"),
        ("ttl: 2m", "maxPerCaller: 0", "/spec/ticket/maxPerCaller"),
        ("ttl: 2m", "maxPerCaller: 1000001", "/spec/ticket/maxPerCaller"),
        ("bindTo: ip", "bindTo: host", "/spec/ticket/bindTo"),
        ("[ticket, direct]", "[]", "/spec/delivery"),
        ("[ticket, direct]", "[ticket, mail]", "/spec/delivery/1"),
        ("[ticket, direct]", "[null]", "/spec/delivery/0"),
    ] {
        let found = faults(&replace_line(line, changed));
        assert_eq!(found.len(), 1, "{changed}: {found:?}");
        assert!(found[0].starts_with(&format!("{pointer}: ")), "{changed}: {found:?}");
    }
}

#[test]
fn values_at_the_limits_are_valid() {
    for (line, changed) in [
        ("ttl: 2m", "ttl: 1s"),
        ("ttl: 2m", "ttl: 15m"),
        ("ttl: 2m, ", ""),
        ("bindTo: ip", "bindTo: none"),
        ("bindTo: ip", "bindTo: identity"),
        ("lease: perPod", "lease: shared"),
        ("[ticket, direct]", "[direct]"),
        ("{token: GH_TOKEN}", "{token: GITHUB_TOKEN, GITHUB_TOKEN: token}"),
        ("effect: allow", ""),
    ] {
        assert_eq!(faults(&replace_line(line, changed)), Vec::<String>::new(), "{changed}");
    }
}

#[test]
fn deny_policies_have_no_secrets_and_allow_policies_need_one() {
    let patterns =
        "subjects: [{kubernetes: {namespaces: ['**'], serviceAccounts: ['**']}}]\nrepos: ['**']\nbranches: ['**']\n";
    assert_eq!(faults(&format!("{patterns}effect: deny")), Vec::<String>::new());
    assert_eq!(faults(patterns), ["/spec/secrets: an allow policy grants at least one secret"]);
    let all = faults(&format!(
        "{patterns}effect: deny\nsecrets: [{{store: vault, path: a}}]\nticket: {{ttl: 1m}}\ndelivery: [ticket]"
    ));
    assert_eq!(
        all,
        [
            "/spec/secrets: a deny policy grants no secrets",
            "/spec/ticket: a deny policy issues no tickets",
            "/spec/delivery: a deny policy delivers nothing",
        ]
    );
}

#[test]
fn faults_of_expressions_have_their_pointers() {
    let text =
        replace_line(ATTEST, "attest: {repo: 'caller.repo', branch: '1'}").replace(CONDITION, "condition: '\"yes\"'");
    assert_eq!(
        faults(&text),
        [
            "/spec/attest/repo: names a field that caller does not have: issuer, subject, namespace, serviceAccount, \
             groups, pod, taskRun, pipelineRun, claims",
            "/spec/attest/branch: must yield a string",
            "/spec/condition: must be true or false",
        ]
    );
    let good = "attest: {repo: 'caller.namespace', branch: 'caller.claims.ref'}";
    assert_eq!(
        faults(&replace_line(ATTEST, good).replace(CONDITION, "condition: 'caller.claims.protected'")),
        Vec::<String>::new()
    );
}

#[test]
fn a_policy_keeps_its_original_spec() {
    assert_eq!(policy("p", GOOD).spec().description.as_deref(), Some("build-time secrets of the web sites"));
}

#[test]
fn an_empty_spec_reports_all_missing_fields() {
    assert_eq!(
        faults("{}"),
        [
            "/spec/subjects: must have at least one subject",
            "/spec/repos: must have at least one pattern",
            "/spec/branches: must have at least one pattern",
            "/spec/secrets: an allow policy grants at least one secret",
        ]
    );
}

#[test]
fn a_claim_name_without_the_brackets_it_needs_is_refused_unless_stored() {
    let text = |name: &str| {
        format!(
            "subjects: [{{oidc: {{issuer: github, claims: {{sub: '*'}}}}}}]\nrepos: ['**']\nbranches: ['**']\nsecrets: \
             [{{store: vault, path: 'a/{name}', write: {{cn: 'x.{name}'}}}}]"
        )
    };
    for plain in ["{claims.a-b}", "{claims.1a}", "{claims.a.b}", "{claims.a:b}"] {
        let hint = "a claim whose name is not an identifier (letters, digits and _, no digit first) is written {claims[\"a.b\"]}";
        let expected = ["path", "write/cn"].map(|field| format!("/spec/secrets/0/{field}: {hint}"));
        assert_eq!(faults(&text(plain)), expected, "{plain}");
        assert!(Policy::compile_stored("p", &spec(&text(plain)), &bounds()).is_ok(), "{plain}");
    }
    for name in ["{claims[\"a-b\"]}", "{claims.a_b}"] {
        assert_eq!(faults(&text(name)), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn lists_have_a_maximum_length() {
    let many = |count: usize| format!("[{}]", vec!["a"; count].join(","));
    assert_eq!(faults(&replace_line("[\"moreira.dev\", \"apps/*\"]", &many(1000))), Vec::<String>::new());
    assert_eq!(
        faults(&replace_line("[\"moreira.dev\", \"apps/*\"]", &many(1001))),
        ["/spec/repos: must have at most 1000 patterns"]
    );
    let secrets = "\n  - {store: vault, path: a}".repeat(1000);
    let text = replace_line("\n  - {store: vault, path: \"homelab/shared\"}", &secrets);
    assert_eq!(faults(&text), ["/spec/secrets: must have at most 1000 secrets"]);
    let subjects = "\n  - kubernetes: {namespaces: [a], serviceAccounts: [a]}".repeat(1000);
    let text = replace_line("subjects:", &format!("subjects:{subjects}"));
    assert_eq!(faults(&text), ["/spec/subjects: must have at most 1000 subjects"]);
}

#[test]
fn names_are_subdomains() {
    let compile = |name: &str| Policy::compile(name, &spec(GOOD), &bounds()).map(|_| ());
    let long = "a".repeat(253);
    for name in ["a", "site-builds", "a.b-c.d", "0", long.as_str()] {
        assert_eq!(compile(name), Ok(()), "{name}");
    }
    let too_long = "a".repeat(254);
    for name in ["", "A", "a_b", "-a", "a-", ".a", "a.", "a..b", "a.-b", "a b", "é", "a/b", "a\n", too_long.as_str()] {
        let found = faults_as_text(compile(name));
        assert!(found.len() == 1 && found[0].starts_with("/name: must be"), "{name:?}: {found:?}");
    }
}

#[test]
fn a_path_outside_the_ceiling_is_a_fault() {
    let text = replace_line("homelab/{repo}/{branch}", "{X}").replace("{X}", "homelab/web/{repo}");
    assert_eq!(faults_within(&text, &bounds_with_ceiling(&[("vault", "homelab")])), Vec::<String>::new());
    let outside = |index: usize| format!("/spec/secrets/{index}/path: lies outside the ceiling of this server");
    assert_eq!(faults_within(&text, &bounds_with_ceiling(&[("vault", "homelab/web")])), [outside(0)]);
    assert_eq!(faults_within(&text, &bounds_with_ceiling(&[("local", "")])), [outside(0), outside(1)]);
}

#[test]
fn different_specs_have_different_revisions() {
    let revision = |text: &str| policy("p", text).revision().to_string();
    assert_eq!(revision(GOOD), revision(GOOD));
    assert_eq!(revision(GOOD).len(), 32);
    for (line, changed) in [("ttl: 2m", "ttl: 1m"), ("web sites", "web site"), ("\"main\"", "\"maim\"")] {
        assert_ne!(revision(GOOD), revision(&replace_line(line, changed)));
    }
    // Comments and the order of keys do not change a policy's revision.
    assert_eq!(
        revision(GOOD),
        revision(&replace_line("ttl: 2m, bindTo: ip", "bindTo: ip, ttl: 2m").replace("repos:", "# x\nrepos:"))
    );
}
