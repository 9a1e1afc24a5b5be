//! Only an explicit permission allows an action, for every kind of user.

use super::*;
use crate::cluster::fake::Fake;
use crate::model::caller::Caller;
use serde_json::{Value, json};
use std::time::Duration;

fn caller(issuer: &str, claims: &Value) -> Arc<Caller> {
    Arc::new(Caller {
        issuer: issuer.into(),
        subject: "s".into(),
        groups: Vec::new(),
        workload: None,
        unbound: None,
        claims: claims.as_object().cloned().unwrap_or_default(),
    })
}

fn user(name: &str) -> Applicant {
    let user = ReviewedUser { username: name.into(), ..ReviewedUser::default() };
    Applicant { caller: caller("cluster", &Value::Null), user: Some(Arc::new(user)) }
}

fn bearer(issuer: &str, claims: &Value) -> Applicant {
    Applicant { caller: caller(issuer, claims), user: None }
}

const fn act(verb: Verb) -> Act<'static> {
    Act { verb, resource: Resource::Policies, name: None }
}

const VERBS: [Verb; 6] = [Verb::Get, Verb::List, Verb::Create, Verb::Update, Verb::Delete, Verb::DeleteCollection];

async fn asking(fake: &Fake) -> Administrators {
    let cluster = Arc::new(fake.cluster().await);
    Administrators {
        clusters: [("cluster".into(), cluster)].into(),
        static_entries: Vec::new(),
        recent: Recent::default(),
    }
}

fn listing(claims: &Value) -> Administrators {
    let claims = claims.as_object().unwrap().clone().into_iter().collect();
    let static_entries = vec![StaticAdministrator { authenticator: "dev".into(), claims }];
    Administrators { clusters: BTreeMap::new(), static_entries, recent: Recent::default() }
}

async fn said(status: &str) -> Fake {
    Fake::answering(201, &format!(r#"{{"kind":"SubjectAccessReview","status":{status}}}"#)).await
}

#[tokio::test]
async fn a_user_may_what_the_api_server_allows_and_nothing_else() {
    let refused = |why| Err(AdminsError::Refused(why));
    for (fake, expected) in [
        (said(r#"{"allowed":true}"#).await, Ok(())),
        (said(r#"{"allowed":false}"#).await, refused(AdminRefusal::NoOpinion)),
        (said(r#"{"allowed":false,"denied":true}"#).await, refused(AdminRefusal::Denied)),
        (said(r#"{"allowed":false,"evaluationError":"x"}"#).await, refused(AdminRefusal::NoOpinion)),
        (Fake::answering(403, "{}").await, Err(AdminsError::Unavailable)),
        (Fake::answering(500, "{}").await, Err(AdminsError::Unavailable)),
        (Fake::absent().await, Err(AdminsError::Unavailable)),
    ] {
        let admins = asking(&fake).await;
        for verb in VERBS {
            assert_eq!(admins.authorise(&user("alice"), act(verb)).await, expected, "{verb:?}");
        }
    }
}

#[tokio::test]
async fn a_user_of_a_cluster_that_is_not_asked_may_nothing() {
    let admins = listing(&json!({"role": "admin"}));
    let refused = Err(AdminsError::Refused(AdminRefusal::NotListed));
    assert_eq!(admins.authorise(&user("alice"), act(Verb::Get)).await, refused);
}

#[tokio::test]
async fn a_bearer_is_never_asked_about_and_must_be_listed_claim_by_claim() {
    let admins = listing(&json!({"role": "admin", "level": 3}));
    let listed = json!({"role": "admin", "level": 3, "more": true});
    assert_eq!(admins.authorise(&bearer("dev", &listed), act(Verb::Delete)).await, Ok(()));
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
        assert_eq!(admins.authorise(&bearer(issuer, &claims), act(Verb::Get)).await, refused, "{issuer} {claims}");
    }
    let yes = asking(&said(r#"{"allowed":true}"#).await).await;
    assert_eq!(yes.authorise(&bearer("cluster", &listed), act(Verb::Get)).await, refused);
    assert_eq!(listing(&json!({})).authorise(&bearer("dev", &listed), act(Verb::Get)).await, refused);
}

#[tokio::test]
async fn a_yes_is_believed_for_five_seconds_and_never_for_writes() {
    let mut admins = asking(&said(r#"{"allowed":true}"#).await).await;
    let (alice, list) = (user("alice"), act(Verb::List));
    for verb in VERBS {
        assert_eq!(admins.authorise(&alice, act(verb)).await, Ok(()));
    }
    // From here on the API server is unreachable.
    let gone: Arc<Cluster> = Arc::new(Fake::absent().await.cluster().await);
    admins.clusters.insert("cluster".into(), gone);
    let unavailable = Err(AdminsError::Unavailable);
    assert_eq!(admins.authorise(&alice, list).await, Ok(()));
    assert_eq!(admins.authorise(&alice, act(Verb::Get)).await, Ok(()));
    for verb in [Verb::Create, Verb::Update, Verb::Delete, Verb::DeleteCollection] {
        assert_eq!(admins.authorise(&alice, act(verb)).await, unavailable, "{verb:?}");
    }
    let others = [
        (user("mallory"), list),
        (alice.clone(), Act { name: Some("a"), ..list }),
        (alice.clone(), Act { resource: Resource::Audit, ..list }),
    ];
    for (who, what) in others {
        assert_eq!(admins.authorise(&who, what).await, unavailable, "{what:?}");
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(admins.authorise(&alice, list).await, Ok(()));
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    assert_eq!(admins.authorise(&alice, list).await, unavailable);
}
