//! Only an explicit permission allows an action, for every kind of user.

use super::*;
use crate::cluster::fake_api_server::FakeApiServer;
use crate::model::caller::Caller;
use serde_json::{Value, json};
use std::time::Duration;

fn caller(issuer: &str, claims: &Value) -> Arc<Caller> {
    Arc::new(Caller {
        issuer: issuer.into(),
        subject: "s".into(),
        groups: Vec::new(),
        workload: None,
        unbound_account: None,
        claims: claims.as_object().cloned().unwrap_or_default(),
    })
}

fn user(name: &str) -> Applicant {
    let user = ReviewedUser { username: name.into(), ..ReviewedUser::default() };
    Applicant { caller: caller("cluster", &Value::Null), user: Some(Arc::new(user)) }
}

fn oidc_applicant(issuer: &str, claims: &Value) -> Applicant {
    Applicant { caller: caller(issuer, claims), user: None }
}

const fn action(verb: Verb) -> AdminAction<'static> {
    AdminAction { verb, resource: Resource::Policies, name: None }
}

const VERBS: [Verb; 6] = [Verb::Get, Verb::List, Verb::Create, Verb::Update, Verb::Delete, Verb::DeleteCollection];

async fn with_cluster(fake: &FakeApiServer) -> Administrators {
    let cluster = Arc::new(fake.cluster().await);
    Administrators {
        clusters: [("cluster".into(), cluster)].into(),
        static_entries: Vec::new(),
        permissions: PermissionCache::default(),
    }
}

fn with_static_entry(claims: &Value) -> Administrators {
    let claims = claims.as_object().unwrap().clone().into_iter().collect();
    let static_entries = vec![StaticAdministrator { authenticator: "dev".into(), claims }];
    Administrators { clusters: BTreeMap::new(), static_entries, permissions: PermissionCache::default() }
}

async fn api_server_with_status(status: &str) -> FakeApiServer {
    FakeApiServer::responding(201, &format!(r#"{{"kind":"SubjectAccessReview","status":{status}}}"#)).await
}

#[tokio::test]
async fn only_an_explicit_permission_of_the_api_server_allows_an_action() {
    let refused = |refusal| Err(AdminsError::Refused(refusal));
    for (fake, expected) in [
        (api_server_with_status(r#"{"allowed":true}"#).await, Ok(())),
        (api_server_with_status(r#"{"allowed":false}"#).await, refused(AdminRefusal::NoOpinion)),
        (api_server_with_status(r#"{"allowed":false,"denied":true}"#).await, refused(AdminRefusal::Denied)),
        (api_server_with_status(r#"{"allowed":false,"evaluationError":"x"}"#).await, refused(AdminRefusal::NoOpinion)),
        (FakeApiServer::responding(403, "{}").await, Err(AdminsError::Unavailable)),
        (FakeApiServer::responding(500, "{}").await, Err(AdminsError::Unavailable)),
        (FakeApiServer::unreachable().await, Err(AdminsError::Unavailable)),
    ] {
        let admins = with_cluster(&fake).await;
        for verb in VERBS {
            assert_eq!(admins.authorise(&user("alice"), action(verb)).await, expected, "{verb:?}");
        }
    }
}

#[tokio::test]
async fn a_user_of_a_cluster_that_is_not_configured_for_reviews_is_refused() {
    let admins = with_static_entry(&json!({"role": "admin"}));
    let refused = Err(AdminsError::Refused(AdminRefusal::NotListed));
    assert_eq!(admins.authorise(&user("alice"), action(Verb::Get)).await, refused);
}

#[tokio::test]
async fn an_oidc_caller_is_not_reviewed_and_must_have_every_claim_of_an_entry() {
    let admins = with_static_entry(&json!({"role": "admin", "level": 3}));
    let listed = json!({"role": "admin", "level": 3, "more": true});
    assert_eq!(admins.authorise(&oidc_applicant("dev", &listed), action(Verb::Delete)).await, Ok(()));
    let refused = Err(AdminsError::Refused(AdminRefusal::NotListed));
    for (issuer, claims) in [
        ("github", listed.clone()),
        ("dev", json!({"role": "admin"})),
        ("dev", json!({"role": "admin", "level": "3"})),
        ("dev", json!({"role": ["admin"], "level": 3})),
        ("dev", json!({"role": "Admin", "level": 3})),
        ("dev", json!({"level": 3})),
        ("dev", json!({})),
    ] {
        assert_eq!(
            admins.authorise(&oidc_applicant(issuer, &claims), action(Verb::Get)).await,
            refused,
            "{issuer} {claims}"
        );
    }
    let allowing = with_cluster(&api_server_with_status(r#"{"allowed":true}"#).await).await;
    assert_eq!(allowing.authorise(&oidc_applicant("cluster", &listed), action(Verb::Get)).await, refused);
    assert_eq!(
        with_static_entry(&json!({})).authorise(&oidc_applicant("dev", &listed), action(Verb::Get)).await,
        refused
    );
}

#[tokio::test]
async fn a_permission_to_read_is_cached_for_five_seconds_and_one_to_write_is_not() {
    let mut admins = with_cluster(&api_server_with_status(r#"{"allowed":true}"#).await).await;
    let (alice, list) = (user("alice"), action(Verb::List));
    for verb in VERBS {
        assert_eq!(admins.authorise(&alice, action(verb)).await, Ok(()));
    }
    // From here on the API server is unreachable.
    let unreachable: Arc<Cluster> = Arc::new(FakeApiServer::unreachable().await.cluster().await);
    admins.clusters.insert("cluster".into(), unreachable);
    let unavailable = Err(AdminsError::Unavailable);
    assert_eq!(admins.authorise(&alice, list).await, Ok(()));
    assert_eq!(admins.authorise(&alice, action(Verb::Get)).await, Ok(()));
    for verb in [Verb::Create, Verb::Update, Verb::Delete, Verb::DeleteCollection] {
        assert_eq!(admins.authorise(&alice, action(verb)).await, unavailable, "{verb:?}");
    }
    let others = [
        (user("mallory"), list),
        (alice.clone(), AdminAction { name: Some("a"), ..list }),
        (alice.clone(), AdminAction { resource: Resource::Audit, ..list }),
    ];
    for (user, action) in others {
        assert_eq!(admins.authorise(&user, action).await, unavailable, "{action:?}");
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(admins.authorise(&alice, list).await, Ok(()));
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    assert_eq!(admins.authorise(&alice, list).await, unavailable);
}
