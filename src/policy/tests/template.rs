//! Path templates: which are invalid, how values are encoded, and that different values give different paths.

use super::{oidc_caller, pod, verified_request};
use crate::model::branch::Branch;
use crate::model::caller::Caller;
use crate::model::repo::Repo;
use crate::model::request::Request;
use crate::policy::placeholder::PlainClaims;
use crate::policy::template::Template;
use proptest::prelude::*;
use serde_json::json;

fn expand(template: &str, caller: &Caller, request: &Request) -> Option<String> {
    Template::parse(template, PlainClaims::Identifiers).expect(template).expand(caller, request)
}

#[test]
fn invalid_templates_are_refused() {
    for text in [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        ".",
        "..",
        "a/.",
        "a/../b",
        "./a",
        "a b",
        "a/é",
        "a%2fb",
        "a/*",
        "a?b",
        "a\\b",
        "a:b",
        "a\0",
        "a\n",
        "{repo}",
        "{repo}/a",
        "{repo|path}",
        "sys",
        "sys/health",
        "auth/token/lookup-self",
        "identity/x",
        "cubbyhole/x",
        "x-{repo}",
        "a/x-{repo}",
        "a/{repo}-x",
        "a/{repo}{branch}",
        "a/{repo}.{branch}",
        "a/{",
        "a/}",
        "a/{}",
        "a/{Repo}",
        "a/{repo }",
        "a/{ repo}",
        "a/{repos}",
        "a/{namespace|path}",
        "a/{repo|}",
        "a/{repo|PATH}",
        "a/{claims}",
        "a/{claims.}",
        "a/{claims.a b}",
        "a/{claims.a/b}",
        "a/{claims[a/b]}",
        "a/{claims['a/b']}",
        "a/{claims[\"a/b]}",
        "a/{claims[\"a/b\"}",
        "a/{claims[\"\"]}",
        "a/{claims[\"a\"b\"]}",
        "a/{claims[\"a\\b\"]}",
        "a/{claims[\"a\"]|path}",
        "a/x{claims[\"a/b\"]}",
        "a/{claims[\"a/b\"]}x",
        "{claims[\"a/b\"]}/a",
        "a/%",
        "a/%2",
        "a/%zz",
        "a/%2F",
        "a/%00",
        "a/%41",
        "a/%7e",
        "a/%0A",
        "a/%FF",
        "%73ys/health",
        "a/{claims.a|path}",
        "a/{{repo}}",
        "a/{claims.{repo}}",
        "a/{repo|path}/{branch|path}",
        "a/{repo|path}/{repo|path}",
    ] {
        let parsed = Template::parse(text, PlainClaims::Identifiers);
        assert!(parsed.is_err(), "{text:?} became {parsed:?}");
    }
    assert!(Template::parse(&"a".repeat(1025), PlainClaims::Identifiers).is_err());
}

#[test]
fn valid_templates_are_accepted() {
    for text in [
        "a",
        "a/b",
        "system/x",
        "sys.x/y",
        "Sys",
        "a/sys",
        "a/auth/{repo}",
        "A_b-c.d~e=f",
        "...",
        "a/...",
        "a/{repo}",
        "a/{branch}/b",
        "a/{namespace}/{serviceAccount}",
        "a/{claims.repository_id}",
        "a/{claims._a1_B}",
        "a/{claims[\"a.b:c-d_e\"]}",
        "a/{claims[\"oidc.circleci.com/project-id\"]}",
        "a/{claims[\"a}/{b\"]}/c",
        "a/{claims[\"plain\"]}",
        "rds%21cluster-1a96",
        "a/Team%20A/b%40c",
        "my%2Bapp/{repo}",
        "a/%7Brepo%7D",
        "a/{repo|path}",
        "a/{branch|path}/x",
        "a/{repo|path}/{branch}",
        "a/{repo}/{repo}",
    ] {
        assert!(Template::parse(text, PlainClaims::Identifiers).is_ok(), "{text:?} was refused");
    }
    assert!(Template::parse(&"a".repeat(1024), PlainClaims::Identifiers).is_ok());
}

#[test]
fn values_are_encoded_as_one_segment() {
    let caller = pod("ci", "build-bot");
    for (branch, segment) in [
        ("main", "main"),
        ("feature/x", "feature~x"),
        ("a/b/c", "a~b~c"),
        ("%2e%2e", "=252e=252e"),
        ("a=b", "a=3Db"),
        ("a+b", "a=2Bb"),
        ("café", "caf=C3=A9"),
        ("cafe\u{301}", "cafe=CC=81"),
        ("{repo}", "=7Brepo=7D"),
        ("main$(id)", "main=24=28id=29"),
        ("MAIN", "MAIN"),
    ] {
        assert_eq!(
            expand("homelab/{branch}", &caller, &verified_request("site", branch)),
            Some(format!("homelab/{segment}"))
        );
    }
    let request = verified_request("acme/site", "x/y");
    for (template, path) in [
        ("homelab/{repo}/default", "homelab/acme~site/default"),
        ("homelab/{repo}/{branch}", "homelab/acme~site/x~y"),
        ("homelab/{repo|path}/{branch}", "homelab/acme/site/x~y"),
        ("homelab/{repo}/{branch|path}", "homelab/acme~site/x/y"),
        ("homelab/{namespace}/{serviceAccount}", "homelab/ci/build-bot"),
    ] {
        assert_eq!(expand(template, &caller, &request).as_deref(), Some(path));
    }
}

#[test]
fn missing_or_unencodable_values_give_no_path() {
    let request = verified_request("site", "main");
    for (claim, segment) in [
        (json!("a/b"), Some("a~b")),
        (json!("a~b"), Some("a=7Eb")),
        (json!("a\0b"), Some("a=00b")),
        (json!("..."), Some("...")),
        (json!(17), Some("17")),
        (json!(-17), Some("-17")),
        (json!(true), Some("true")),
        (json!(""), None),
        (json!("."), None),
        (json!(".."), None),
        (json!(null), None),
        (json!(["a"]), None),
        (json!({}), None),
        (json!(1.5), None),
        (json!(1e30), None),
        (json!("x".repeat(1025)), None),
    ] {
        let caller = oidc_caller("github", json!({"c": claim}));
        let expected = segment.map(|segment| format!("a/{segment}/b"));
        assert_eq!(expand("a/{claims.c}/b", &caller, &request), expected, "{claim}");
    }
    let caller = oidc_caller("circleci", json!({"oidc.circleci.com/project-id": "a/b", "a}/{b": "c", "sub": "s"}));
    for (template, path) in [
        ("a/{claims[\"oidc.circleci.com/project-id\"]}/x", "a/a~b/x"),
        ("a/{claims[\"a}/{b\"]}/{claims[\"sub\"]}", "a/c/s"),
        ("Team%20A/rds%21x/{claims.sub}", "Team A/rds!x/s"),
        ("a/%7Brepo%7D/%25", "a/{repo}/%"),
    ] {
        assert_eq!(expand(template, &caller, &request).as_deref(), Some(path));
    }
    let caller = oidc_caller("github", json!({"a": {"b": "c"}, "x": "y"}));
    for template in ["a/{claims.b}", "a/{claims[\"a.b\"]}", "a/{namespace}", "a/{serviceAccount}"] {
        assert_eq!(expand(template, &caller, &request), None, "{template}");
    }
}

#[test]
fn a_claim_whose_name_is_no_identifier_is_quoted_in_new_policies() {
    let caller =
        oidc_caller("github", json!({"a-b": "1", "1a": "2", "a.b": "3", "a:b": "4", "a": {"b": "no"}, "a_b1": "5"}));
    let request = verified_request("site", "main");
    for (name, value) in [("a-b", "1"), ("1a", "2"), ("a.b", "3"), ("a:b", "4")] {
        let plain = format!("a/{{claims.{name}}}");
        let refused = Template::parse(&plain, PlainClaims::Identifiers).unwrap_err().to_string();
        assert!(refused.ends_with("is written {claims[\"a.b\"]}"), "{refused}");
        let expected = Some(format!("a/{value}"));
        assert_eq!(expand(&format!("a/{{claims[\"{name}\"]}}"), &caller, &request), expected);
        // It means the same in a policy that is stored.
        let stored = Template::parse(&plain, PlainClaims::AsStored).unwrap();
        assert_eq!(stored.expand(&caller, &request), expected);
    }
    assert_eq!(expand("a/{claims.a_b1}", &caller, &request).as_deref(), Some("a/5"));
    for text in ["a/{claims.}", "a/{claims.a b}", "a/{claims.a/b}", "a/{claims.é}"] {
        for plain_claims in [PlainClaims::Identifiers, PlainClaims::AsStored] {
            assert!(Template::parse(text, plain_claims).is_err(), "{text}");
        }
    }
}

/// Names from a few characters, including all that templates escape, so that a defect would give equal paths.
fn repo() -> impl Strategy<Value = String> {
    "[ab.~@+-]([/ ]?[a.2F~=-]){0,3}".prop_filter("a repo", |text| Repo::try_from(text.as_str()).is_ok())
}

fn branch() -> impl Strategy<Value = String> {
    "[ab.=%é{}](/?[a.=2Fé-]){0,3}".prop_filter("a branch", |text| Branch::try_from(text.as_str()).is_ok())
}

/// Names that are valid as a repo and as a branch.
fn either() -> impl Strategy<Value = String> {
    "[ab]([/.-]?[ab]){0,3}"
}

fn name() -> impl Strategy<Value = String> {
    "[ab](-?[ab]){0,2}"
}

type Values = (String, String, String, String);

fn values() -> impl Strategy<Value = Values> {
    (repo(), branch(), name(), name())
}

fn path(template: &str, values: &Values) -> String {
    expand(template, &pod(&values.2, &values.3), &verified_request(&values.0, &values.1)).expect("every value is there")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn different_values_give_different_paths(one in values(), other in values(), shared in 0..16u8) {
        // Some values are equal in both: small differences are the most likely to give equal paths.
        let mut other = other;
        if shared & 1 != 0 { other.0.clone_from(&one.0); }
        if shared & 2 != 0 { other.1.clone_from(&one.1); }
        if shared & 4 != 0 { other.2.clone_from(&one.2); }
        if shared & 8 != 0 { other.3.clone_from(&one.3); }
        for template in [
            "m/{repo}/{branch}/{namespace}/{serviceAccount}",
            "m/{serviceAccount}/{branch}/{repo}/{namespace}",
            "m/{repo|path}/{branch}/{namespace}/{serviceAccount}",
            "m/{namespace}/{branch|path}/{repo}/{serviceAccount}",
            "m/{branch}/{namespace}/{serviceAccount}/x/{repo|path}",
        ] {
            prop_assert_eq!(path(template, &one) == path(template, &other), one == other, "{}", template);
        }
    }

    #[test]
    fn swapped_values_give_different_paths(repo in either(), branch in either()) {
        for template in ["m/{repo}/{branch}", "m/{repo|path}/{branch}", "m/{repo}/{branch|path}"] {
            let caller = pod("ci", "bot");
            let one = expand(template, &caller, &verified_request(&repo, &branch));
            let other = expand(template, &caller, &verified_request(&branch, &repo));
            prop_assert_eq!(one == other, repo == branch);
        }
    }

    #[test]
    fn path_segments_have_only_unambiguous_characters(values in values()) {
        for template in ["m/{repo}/{branch}/{namespace}/{serviceAccount}", "m/{repo|path}/{branch}", "m/{repo}/{branch|path}"] {
            for segment in path(template, &values).split('/') {
                prop_assert!(!matches!(segment, "" | "." | ".."));
                prop_assert!(segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~=-".contains(&b)));
            }
        }
    }
}
