//! Needed paths: every path that a policy grants is among them, and others only where an ACL cannot exclude them.

use super::{bounds, bounds_with_ceiling, oidc_caller, pod, spec, verified_request};
use crate::policy::compiled_policy::Effect;
use crate::policy::{Bounds, PathPart, Policy};

const BOT: &str = "{kubernetes: {namespaces: [ci], serviceAccounts: [bot]}}";

#[derive(Clone, Copy)]
struct Case<'c> {
    subjects: &'c str,
    repos: &'c str,
    branches: &'c str,
    path: &'c str,
}

const CASE: Case<'static> = Case { subjects: BOT, repos: "site", branches: "main", path: "homelab/{repo}/{branch}" };

impl Case<'_> {
    fn yaml(&self) -> String {
        let Self { subjects, repos, branches, path } = self;
        format!(
            "subjects: [{subjects}]\nrepos: [{repos}]\nbranches: [{branches}]\nsecrets: [{{store: vault, path: '{path}'}}]"
        )
    }

    fn needed(&self, bounds: &Bounds) -> Vec<String> {
        let yaml = self.yaml();
        let paths = Policy::compile("p", &spec(&yaml), bounds).expect(&yaml).needed_paths();
        paths.iter().map(|path| text(&path.parts)).collect()
    }
}

fn text(parts: &[PathPart]) -> String {
    let part = |part: &PathPart| match part {
        PathPart::Literal(literal) => literal.to_string(),
        PathPart::AnySegment => "+".to_owned(),
        PathPart::AnySegments => "**".to_owned(),
    };
    parts.iter().map(part).collect::<Vec<_>>().join("/")
}

/// A list of literal patterns.
fn numbered(prefix: &str, count: usize) -> String {
    (0..count).map(|index| format!("{prefix}{index}")).collect::<Vec<_>>().join(", ")
}

#[test]
fn literal_patterns_are_written_out_as_paths_are() {
    for (case, expected) in [
        (CASE, &["homelab/site/main"][..]),
        (Case { repos: "site, apps/shop", ..CASE }, &["homelab/apps~shop/main", "homelab/site/main"]),
        (Case { branches: "a~b", ..CASE }, &["homelab/site/a=7Eb"]),
        (Case { path: "homelab/{repo|path}/x", repos: "apps/shop", ..CASE }, &["homelab/apps/shop/x"]),
        (Case { path: "homelab/{repo}/{repo}", repos: "a, b", ..CASE }, &["homelab/a/a", "homelab/b/b"]),
        (Case { path: "homelab/{namespace}/{serviceAccount}", ..CASE }, &["homelab/ci/bot"]),
        // One pattern with a wildcard, and the variable is not known.
        (Case { repos: "site, 'app*'", ..CASE }, &["homelab/+/main"]),
        (Case { repos: "'**'", branches: "'**'", ..CASE }, &["homelab/+/+"]),
        (Case { path: "homelab/{branch|path}", branches: "'release/*'", ..CASE }, &["homelab/**"]),
        // The value `..` has no encoding, so the policy grants nothing for it.
        (Case { repos: "'..', site", ..CASE }, &["homelab/site/main"]),
    ] {
        assert_eq!(case.needed(&bounds()), expected, "{} {} {}", case.repos, case.branches, case.path);
    }
}

#[test]
fn namespaces_and_service_accounts_belong_to_their_subject() {
    let path = "homelab/{namespace}/{serviceAccount}";
    let web = "{kubernetes: {namespaces: [web], serviceAccounts: [dev]}}";
    let two = format!("{BOT}, {web}");
    assert_eq!(Case { subjects: &two, path, ..CASE }.needed(&bounds()), ["homelab/ci/bot", "homelab/web/dev"]);
    let any = format!("{BOT}, {}", web.replace("web", "'w*'"));
    assert_eq!(Case { subjects: &any, path, ..CASE }.needed(&bounds()), ["homelab/ci/bot", "homelab/+/dev"]);
    // A caller with an OIDC token has neither.
    let oidc = "{oidc: {issuer: github, claims: {sub: x}}}";
    let mixed = format!("{BOT}, {oidc}");
    assert_eq!(Case { subjects: &mixed, path, ..CASE }.needed(&bounds()), ["homelab/ci/bot"]);
    assert!(Case { subjects: oidc, path, ..CASE }.needed(&bounds()).is_empty());
    let claims = Case { subjects: oidc, path: "homelab/{claims.team}/{repo}", ..CASE };
    assert_eq!(claims.needed(&bounds()), ["homelab/+/site"]);
}

#[test]
fn more_than_64_paths_of_a_template_stay_wildcards() {
    let (all, more) = (numbered("r", 64), numbered("r", 65));
    assert_eq!(Case { repos: &all, ..CASE }.needed(&bounds()).len(), 64);
    assert_eq!(Case { repos: &more, ..CASE }.needed(&bounds()), ["homelab/+/main"]);
    // The variable with the fewest values is written out first.
    let branches = numbered("b", 2);
    let case = Case { repos: &all, branches: &branches, ..CASE };
    assert_eq!(case.needed(&bounds()), ["homelab/+/b0", "homelab/+/b1"]);
    let subjects: Vec<String> = (0..65).map(|index| BOT.replace("[ci]", &format!("[n{index}]"))).collect();
    let case = Case { subjects: &subjects.join(", "), path: "homelab/{namespace}/{repo}", ..CASE };
    assert_eq!(case.needed(&bounds()), ["homelab/+/site"]);
}

#[test]
fn a_ceiling_narrows() {
    let any = Case { repos: "'**'", branches: "'**'", ..CASE };
    for (path, prefixes, expected) in [
        ("homelab/{repo}/{branch}", &["homelab"][..], &["homelab/+/+"][..]),
        ("homelab/{repo}/{branch}", &["homelab/site"], &["homelab/site/+"]),
        ("homelab/{repo}/{branch}", &["homelab/site", "homelab/shop/main"], &["homelab/shop/main", "homelab/site/+"]),
        // No repo is encoded as `a%b`, so nothing can be read there.
        ("homelab/{repo}/{branch}", &["homelab/a%b", "homelab/site"], &["homelab/site/+"]),
        ("homelab/{repo|path}", &["homelab/a/b"], &["homelab/a/b", "homelab/a/b/**"]),
        ("homelab/{repo|path}/x", &["homelab/a/b"], &["homelab/a/b/**"]),
        ("homelab/{repo|path}/b", &["homelab/a/b"], &["homelab/a/b", "homelab/a/b/**"]),
        ("homelab/{repo|path}/b", &["homelab/a"], &["homelab/a/**"]),
        ("homelab/{repo|path}", &["homelab/a%b"], &["homelab/**"]),
        ("homelab/{repo|path}", &[""], &["homelab/**"]),
    ] {
        let ceiling: Vec<_> = prefixes.iter().map(|prefix| ("vault", *prefix)).collect();
        assert_eq!(Case { path, ..any }.needed(&bounds_with_ceiling(&ceiling)), expected, "{path} {prefixes:?}");
    }
    // A path that the ceiling excludes is not needed.
    let ceiling = bounds_with_ceiling(&[("vault", "homelab/site")]);
    assert_eq!(Case { repos: "site, shop", ..CASE }.needed(&ceiling), ["homelab/site/main"]);
    assert!(Case { repos: "shop", ..CASE }.needed(&ceiling).is_empty());
    // Too many prefixes.
    let many: Vec<String> = (0..65).map(|index| format!("homelab/r{index}")).collect();
    let many: Vec<_> = many.iter().map(|prefix| ("vault", prefix.as_str())).collect();
    assert_eq!(any.needed(&bounds_with_ceiling(&many)), ["homelab/+/+"]);
    assert_eq!(any.needed(&bounds_with_ceiling(&many[1..])).len(), 64);
}

/// Whether a needed path covers a path.
fn covers(needed: &[PathPart], path: &[&str]) -> bool {
    match (needed.split_first(), path.split_first()) {
        // The rule of an ACL ends at a `**`.
        (None, None) | (Some((PathPart::AnySegments, _)), Some(_)) => true,
        (Some((part, needed)), Some((segment, path))) => {
            let matches = match part {
                PathPart::Literal(literal) => **literal == **segment,
                PathPart::AnySegment | PathPart::AnySegments => true,
            };
            matches && covers(needed, path)
        }
        _ => false,
    }
}

#[test]
fn every_granted_path_is_needed() {
    let repos = ["site", "apps/site", "a~b", "a b", "x/y/z"];
    let branches = ["main", "feature/x", "café", "site"];
    let callers = [pod("ci", "bot"), pod("web", "dev"), oidc_caller("github", serde_json::json!({"team": "main"}))];
    let subjects = [
        BOT,
        "{kubernetes: {namespaces: [ci, web], serviceAccounts: [bot, dev]}}",
        "{kubernetes: {namespaces: [ci], serviceAccounts: ['**']}}, {oidc: {issuer: github, claims: {team: main}}}",
    ];
    let paths = [
        "m/{repo}/{branch}",
        "m/{repo|path}/{branch}",
        "m/{branch|path}/{repo}",
        "m/{namespace}/{serviceAccount}/{repo}",
        "m/{claims.team}/{branch}",
        "m/{repo}/{repo}",
        "m/site/{repo|path}",
        "m/shared",
    ];
    let ceilings: [&[(&str, &str)]; 6] = [
        &[],
        &[("vault", "m")],
        &[("vault", "m/site")],
        &[("vault", "m/apps/site"), ("vault", "m/apps~site/main"), ("vault", "m/ci")],
        &[("vault", "m/site/main"), ("vault", "m/x/y/z/main"), ("vault", "m/main")],
        &[("vault", "m/shared"), ("vault", "m/site/x/y")],
    ];
    let (mut granted, mut excluded) = (0, 0);
    for ceiling in ceilings {
        let bounds = bounds_with_ceiling(ceiling);
        for subjects in subjects {
            for path in paths {
                for (repo_patterns, branch_patterns) in [
                    ("site, apps/site, a~b, 'a b', x/y/z", "main, feature/x, café, site"),
                    ("'**'", "main, site"),
                    ("site, 'x/**'", "'**'"),
                    ("site", "main"),
                ] {
                    let yaml = Case { subjects, repos: repo_patterns, branches: branch_patterns, path }.yaml();
                    // A template that is always outside of the ceiling is refused.
                    let Ok(policy) = Policy::compile("p", &spec(&yaml), &bounds) else { continue };
                    let needed = policy.needed_paths();
                    let Effect::Allow(terms) = &policy.effect else { panic!("{yaml}") };
                    for caller in &callers {
                        for repo in repos {
                            for branch in branches {
                                let request = verified_request(repo, branch);
                                if !policy.has_subject(caller) || !policy.may_match(Some(repo), Some(branch)) {
                                    continue;
                                }
                                let Some(secrets) = terms.expand(caller, &request) else {
                                    excluded += 1;
                                    continue;
                                };
                                let segments: Vec<&str> = secrets[0].secret.path.split('/').collect();
                                let is_needed = needed.iter().any(|path| covers(&path.parts, &segments));
                                assert!(is_needed, "{segments:?} {yaml} {ceiling:?}");
                                granted += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(granted > 500 && excluded > 500, "{granted} {excluded}");
}
