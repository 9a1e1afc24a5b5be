//! Invalid custom resources beside stored policies of the same name.

use super::*;
use claviger::model::policy_resource::{PolicyResource, ResourceChange, ResourceKey, ResourceKind, ResourceSpec};
use claviger::policy::{PolicyStoreError, WritePrecondition};
use jiff::Timestamp;

fn object(generation: i64, spec: Value) -> PolicyResource {
    PolicyResource {
        key: ResourceKey { namespace: None, name: "p".into() },
        uid: "uid".into(),
        generation,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        updated_by: "kubectl".into(),
        spec: ResourceSpec::Complete(spec),
        status: None,
    }
}

/// The spec with a condition that does not compile.
fn broken(mut spec: Value) -> Value {
    spec["condition"] = json!("1 +");
    spec
}

/// A register that has read a cluster without policies.
async fn register(database: Database) -> PolicyRegister {
    let register = open(database, None).await.unwrap();
    register.set_clusters(&["cluster".into()]).await;
    let none = [ResourceKind::Policy, ResourceKind::ClusterPolicy].map(|kind| ResourceChange::Listed(kind, Vec::new()));
    register.apply_resource_changes("cluster", none.into()).await;
    register
}

async fn apply(register: &PolicyRegister, object: PolicyResource) {
    register.apply_resource_changes("cluster", vec![ResourceChange::Applied(Box::new(object))]).await;
}

async fn message(register: &PolicyRegister) -> String {
    register.pending_statuses("cluster").await[0].status.message.to_string()
}

#[tokio::test]
async fn an_invalid_deny_resource_keeps_its_name_while_it_denies() {
    for versions in [vec![broken(deny("x"))], vec![deny("x"), broken(deny("x"))]] {
        let register = register(TestDatabase::sqlite_memory().database().await).await;
        for (spec, generation) in versions.into_iter().zip(1..) {
            apply(&register, object(generation, spec)).await;
        }
        let read_only = PolicyStoreError::ReadOnly;
        assert_eq!(register.create(policy("p", "x")).await.unwrap_err(), read_only);
        assert_eq!(register.put(policy("p", "x"), WritePrecondition::Any).await.unwrap_err(), read_only);
        assert_eq!(register.delete("p", "alice", WritePrecondition::Any).await.unwrap_err(), read_only);
        assert!(register.revisions("p", None, 1).await.unwrap().is_empty());
        let active = register.active_set().load().get("p").unwrap().clone();
        assert!(active.denies());
        // What denies is not what its author wrote, so the API does not show it.
        assert!(listed_policies(&register).await.is_empty() && register.get("p").await.unwrap().is_none());

        // An invalid allow policy is inactive, and others can have its name.
        apply(&register, object(9, broken(spec_of("x")))).await;
        register.create(policy("p", "x")).await.unwrap();
        assert!(!register.active_set().load().get("p").unwrap().denies());
    }
}

#[tokio::test]
async fn the_status_of_an_invalid_deny_without_its_name_does_not_say_that_it_denies() {
    let db = TestDatabase::sqlite_file();
    let register = register(db.database().await).await;
    // Another replica without the cluster does not know the name.
    let elsewhere = db.register().await;
    apply(&register, object(1, broken(deny("x")))).await;
    assert!(
        message(&register)
            .await
            .ends_with(". It denies nevertheless, and what cannot be read of it matches everything")
    );
    apply(&register, object(2, deny("x"))).await;
    apply(&register, object(3, broken(deny("x")))).await;
    assert!(message(&register).await.ends_with(". What generation 2 denied stays denied"));
    elsewhere.create(policy("p", "y")).await.unwrap();
    register.catch_up().await;
    assert!(!register.active_set().load().get("p").unwrap().denies());
    let taken = message(&register).await;
    assert!(taken.starts_with("/spec/condition: ") && !taken.contains("denie"), "{taken}");
    assert!(taken.ends_with("A policy of this name was written through the API and is in force instead."), "{taken}");
    elsewhere.delete("p", "alice", WritePrecondition::Any).await.unwrap();
    register.catch_up().await;
    assert!(message(&register).await.ends_with(". What generation 2 denied stays denied"));
}
