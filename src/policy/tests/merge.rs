//! Merging: precedence, missing keys and required secrets.

use super::{expect_grant, pod, policy, request_for};
use crate::model::secret::{Secret, SecretValue};
use crate::policy::merge::SecretRead;
use crate::policy::{Absence, MergeError, MergedSecrets, merge};
use std::collections::BTreeMap;
use std::sync::Arc;

fn secret(data: &[(&str, Option<&str>)]) -> Arc<Secret> {
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), value.map(|text| SecretValue::new(text.to_owned()))));
    Arc::new(Secret { data: data.collect(), version: None, created_at: None, stale: false })
}

/// The reads for the secrets of one policy, with these results in order.
fn reads(secrets: &str, results: Vec<Result<Arc<Secret>, Absence>>) -> Vec<SecretRead> {
    let text = format!(
        "subjects: [{{kubernetes: {{namespaces: [ci], serviceAccounts: [bot]}}}}]\nrepos: [r]\nbranches: [b]\nsecrets: {secrets}"
    );
    let grant = expect_grant(vec![policy("p", &text)], &pod("ci", "bot"), &request_for("r", "b"));
    assert_eq!(grant.secrets.len(), results.len());
    grant.secrets.into_iter().zip(results).collect()
}

/// The values by name. They are found by comparison, because a secret value cannot be read; `?` stands for any other value.
fn texts(merged: &MergedSecrets) -> BTreeMap<&str, &str> {
    merged
        .entries
        .iter()
        .map(|(name, entry)| {
            let known = ["1", "2", "3", "4"].into_iter().find(|one| entry.value == SecretValue::new((*one).into()));
            (name.as_str(), known.unwrap_or("?"))
        })
        .collect()
}

fn merge_one(spec: &str, data: &[(&str, Option<&str>)]) -> MergedSecrets {
    merge(&reads(&format!("[{spec}]"), vec![Ok(secret(data))]), None).expect("merges")
}

#[test]
fn later_secrets_replace_keys_of_earlier_ones() {
    let reads = reads(
        "[{store: vault, path: shared}, {store: vault, path: 'site/{repo}'}, {store: vault, path: 'site/{repo}/{branch}'}]",
        vec![
            Ok(secret(&[("A", Some("1")), ("B", Some("1")), ("C", Some("1"))])),
            Ok(secret(&[("B", Some("2")), ("C", Some("2"))])),
            Ok(secret(&[("C", Some("3"))])),
        ],
    );
    let merged = merge(&reads, None).expect("merges");
    assert_eq!(texts(&merged), BTreeMap::from([("A", "1"), ("B", "2"), ("C", "3")]));
    assert_eq!((merged.missing, merged.stale), (0, false));
}

#[test]
fn keys_select_then_rename_then_prefix() {
    let data = [("token", Some("1")), ("NPM_A", Some("2")), ("OTHER", Some("3")), ("NPM_NULL", None)];
    let merged = merge_one("{store: vault, path: a, keys: [token, 'NPM_*'], rename: {token: GH}, prefix: X_}", &data);
    assert_eq!(texts(&merged), BTreeMap::from([("X_GH", "1"), ("X_NPM_A", "2")]));
    let all = merge_one("{store: vault, path: a}", &data);
    assert_eq!(texts(&all), BTreeMap::from([("token", "1"), ("NPM_A", "2"), ("OTHER", "3")]));
}

#[test]
fn the_later_key_of_a_secret_replaces_the_earlier() {
    let data = [("a", Some("1")), ("b", Some("2")), ("c", Some("3"))];
    // Both `a` and `c` get the name `a`, or the name `c`: the value of `c` is used.
    assert_eq!(
        texts(&merge_one("{store: vault, path: a, rename: {c: a}}", &data)),
        BTreeMap::from([("a", "3"), ("b", "2")])
    );
    assert_eq!(
        texts(&merge_one("{store: vault, path: a, rename: {a: c}}", &data)),
        BTreeMap::from([("b", "2"), ("c", "3")])
    );
}

#[test]
fn the_keys_of_a_request_are_final_names() {
    let reads = reads(
        "[{store: vault, path: a, rename: {token: GH}}]",
        vec![Ok(secret(&[("token", Some("1")), ("B", Some("2"))]))],
    );
    let narrowed = |names: &[&str]| {
        let wanted: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        merge(&reads, Some(&wanted)).expect("merges").entries.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(narrowed(&["GH"]), ["GH"]);
    assert_eq!(narrowed(&["GH", "B", "none"]), ["B", "GH"]);
    assert_eq!(narrowed(&["token"]), Vec::<String>::new());
    assert_eq!(narrowed(&[]), Vec::<String>::new());
}

#[test]
fn a_missing_secret_is_skipped_unless_required() {
    let optional = "[{store: vault, path: a}, {store: vault, path: b}, {store: vault, path: a}]";
    let results = || vec![Err(Absence::Absent), Err(Absence::Deleted), Err(Absence::Absent)];
    let merged = merge(&reads(optional, results()), None).expect("merges");
    assert!(merged.entries.is_empty());
    // Three grants of two missing secrets count as two.
    assert_eq!(merged.missing, 2);
    for absence in [Absence::Absent, Absence::Deleted] {
        let required = reads(
            "[{store: vault, path: a}, {store: vault, path: b, required: true}]",
            vec![Ok(secret(&[("A", Some("1"))])), Err(absence)],
        );
        let Err(MergeError::SecretNotFound(secret)) = merge(&required, None) else { panic!("{absence:?} was skipped") };
        assert_eq!((&*secret.store, secret.path.as_str()), ("vault", "b"));
    }
}

#[test]
fn a_required_secret_must_have_its_literal_keys() {
    let outcome = |required: bool, rest: &str, data: &[(&str, Option<&str>)]| {
        let spec = format!("[{{store: vault, path: a, required: {required}, {rest}}}]");
        match merge(&reads(&spec, vec![Ok(secret(data))]), Some(&[])) {
            Ok(_) => None,
            Err(MergeError::KeyAbsent { key, .. }) => Some(key),
            Err(other) => panic!("{other}"),
        }
    };
    for (rest, data, absent) in [
        ("keys: [A, B]", &[("A", Some("1")), ("B", Some("2"))][..], None),
        ("keys: [A, B]", &[("A", Some("1"))], Some("B")),
        ("keys: [A, B]", &[("A", Some("1")), ("B", None)], Some("B")),
        ("rename: {B: C}", &[("A", Some("1"))], Some("B")),
        ("rename: {B: C}", &[("B", Some("1"))], None),
        ("keys: ['B*']", &[("A", Some("1"))], None),
        ("keys: ['B*']", &[("B", None)], None),
        ("prefix: X_", &[], None),
    ] {
        assert_eq!(outcome(true, rest, data).as_deref(), absent, "{rest} {data:?}");
        assert_eq!(outcome(false, rest, data), None, "{rest} {data:?}");
    }
}

#[test]
fn named_by_policy_needs_a_literal_final_name() {
    let data = [("PATH", Some("1")), ("HOME", Some("2")), ("p", Some("3"))];
    let named = |rest: &str| {
        let merged = merge_one(&format!("{{store: vault, path: a{rest}}}"), &data);
        let named = merged.entries.into_iter().filter(|(_, entry)| entry.named_by_policy);
        named.map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(named(""), Vec::<String>::new());
    assert_eq!(named(", keys: ['*']"), Vec::<String>::new());
    assert_eq!(named(", keys: ['{PATH,HOME}']"), Vec::<String>::new());
    assert_eq!(named(", keys: [PATH, '*']"), ["PATH"]);
    assert_eq!(named(", keys: ['*'], rename: {p: ENV}"), ["ENV"]);
    // `PATH` is a source name here, not a final name.
    assert_eq!(named(", rename: {PATH: X}"), ["X"]);
    assert_eq!(named(", keys: [PATH, p], rename: {p: ENV}, prefix: X_"), Vec::<String>::new());
}

#[test]
fn named_by_policy_depends_on_the_replacing_key() {
    let both = "[{store: vault, path: a, keys: [PATH]}, {store: vault, path: b}]";
    let result = || Ok(secret(&[("PATH", Some("1"))]));
    let merged = merge(&reads(both, vec![result(), result()]), None).expect("merges");
    assert!(!merged.entries["PATH"].named_by_policy);
    let merged = merge(&reads(both, vec![result(), Err(Absence::Absent)]), None).expect("merges");
    assert!(merged.entries["PATH"].named_by_policy);
}

#[test]
fn one_stale_secret_makes_the_result_stale() {
    let stale = Arc::new(Secret { stale: true, ..Secret::clone(&secret(&[("A", Some("1"))])) });
    let reads = reads("[{store: vault, path: a}, {store: vault, path: b}]", vec![Ok(stale), Ok(secret(&[]))]);
    assert!(merge(&reads, None).expect("merges").stale);
}

#[test]
fn base64_values_are_checked_and_made_canonical() {
    let spec = "{store: vault, path: a, encoding: base64}";
    let merged = merge_one(spec, &[("K", Some("/u0\n")), ("N", None)]);
    assert_eq!(merged.entries.keys().collect::<Vec<_>>(), ["K"]);
    assert!(merged.entries["K"].is_base64 && merged.entries["K"].value == SecretValue::new("/u0=".into()));
    assert!(!merge_one("{store: vault, path: a}", &[("K", Some("/u0="))]).entries["K"].is_base64);

    let bad = |wanted: &[&str]| {
        let reads = reads(&format!("[{spec}]"), vec![Ok(secret(&[("BAD", Some("hunter2!")), ("K", Some("aGk="))]))]);
        merge(&reads, Some(&wanted.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()))
    };
    let error = bad(&["BAD", "K"]).expect_err("not base64");
    assert!(matches!(&error, MergeError::NotBase64 { key, .. } if key == "BAD"), "{error}");
    assert!(error.to_string().contains("BAD") && !format!("{error} {error:?}").contains("hunter2"));
    assert!(bad(&["K"]).is_ok(), "values of other keys are not checked");
}

#[test]
fn errors_do_not_contain_values() {
    let reads =
        reads("[{store: vault, path: a, required: true, keys: [B]}]", vec![Ok(secret(&[("A", Some("hunter2"))]))]);
    let error = merge(&reads, None).expect_err("B is not there");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}
