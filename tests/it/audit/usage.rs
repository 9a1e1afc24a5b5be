//! The table of last uses: uses of policies that are gone are forgotten, and those of others never.

use super::{Place, on_every_place};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::collections::BTreeSet;

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// More policies than are kept after they are gone, and than one statement has.
const MANY: usize = 10_100;

on_every_place! {
    uses_of_a_deleted_policy_are_kept_for_a_month
    uses_of_the_last_deleted_policies_are_kept
}

/// Uses of these policies at the time of the test, by two callers each.
async fn used(place: &Place, names: &[String], at: Timestamp) {
    let at = format!("{at:.6}");
    let rows: Vec<_> = names
        .iter()
        .flat_map(|name| {
            let of = |kind: &str, by: &str| json!([name, "", "", kind, by, at]);
            [of("matched", ""), of("caller", "one"), of("caller", "two")]
        })
        .collect();
    let insert = claviger::database::Sql {
        sqlite: "INSERT INTO policy_usage (policy, store, path, kind, name, last_at) \
             SELECT json_extract(value, '$[0]'), '', '', json_extract(value, '$[3]'), json_extract(value, '$[4]'), \
             json_extract(value, '$[5]') FROM json_each($1)",
        postgres: "INSERT INTO policy_usage (policy, store, path, kind, name, last_at) \
             SELECT value->>0, '', '', value->>3, value->>4, value->>5 FROM jsonb_array_elements($1::jsonb) AS uses (value)",
    };
    place.database.run(insert, &[serde_json::Value::Array(rows).to_string().into()]).await.unwrap();
}

/// The policies that have a row of a kind.
async fn policies(place: &Place, kind: &str) -> BTreeSet<String> {
    let query = "SELECT DISTINCT policy FROM policy_usage WHERE kind = $1";
    let rows = place.database.run(query, &[kind.into()]).await.unwrap();
    rows.iter().map(|row| row.text(0).unwrap()).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn uses_of_a_deleted_policy_are_kept_for_a_month(place: Place) {
    let replica = place.replica().await;
    let usage = replica.log.reader().usage();
    let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    used(&place, &["back", "gone", "team-a/gone", "kept"].map(str::to_owned), start).await;
    let only_kept = |name: &str| name == "kept";
    usage.tidy_deleted_policies(start, &only_kept).await.unwrap();
    assert_eq!(policies(&place, "gone").await, names(&["back", "gone", "team-a/gone"]));
    // The inventory sees none of it.
    assert_eq!(usage.last_uses(&["kept"]).await.unwrap().len(), 1);
    assert_eq!(usage.last_uses(&["kept", "back", "absent"]).await.unwrap().len(), 2);
    assert_eq!(usage.summarise(&["gone"], start, 9).await.unwrap().values().next().unwrap().callers, 2);

    // One is back before its month is over, and goes again: its month begins anew.
    let later = start.checked_add(DAY * 20).unwrap();
    usage.tidy_deleted_policies(later, &|name| only_kept(name) || name == "back").await.unwrap();
    assert_eq!(policies(&place, "gone").await, names(&["gone", "team-a/gone"]));
    usage.tidy_deleted_policies(later, &only_kept).await.unwrap();
    let later = start.checked_add(DAY * 31).unwrap();
    usage.tidy_deleted_policies(later, &only_kept).await.unwrap();
    for kind in ["matched", "caller"] {
        assert_eq!(policies(&place, kind).await, names(&["back", "kept"]), "{kind}");
    }
    let later = start.checked_add(DAY * 60).unwrap();
    usage.tidy_deleted_policies(later, &only_kept).await.unwrap();
    assert_eq!(policies(&place, "matched").await, names(&["kept"]));
    assert_eq!(policies(&place, "gone").await, names(&[]));
}

async fn uses_of_the_last_deleted_policies_are_kept(place: Place) {
    let replica = place.replica().await;
    let usage = replica.log.reader().usage();
    let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let all: Vec<String> = (0..MANY).map(|at| format!("team-a/p-{at:05}")).collect();
    used(&place, &all[MANY - 200..], start).await;
    usage.tidy_deleted_policies(start, &|_| false).await.unwrap();
    used(&place, &all[..MANY - 200], start).await;
    let later = start.checked_add(DAY).unwrap();
    usage.tidy_deleted_policies(later, &|_| false).await.unwrap();
    let left = policies(&place, "matched").await;
    assert_eq!(left.len(), 10_000);
    assert!(left.contains("team-a/p-00000") && left.contains(&all[MANY - 1]), "those that went first are forgotten");
    assert!(!left.contains(&all[MANY - 200]));
    assert_eq!(policies(&place, "gone").await, left);
}
