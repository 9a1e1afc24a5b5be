//! Policy documents: no text makes the compiler panic, and a valid policy is valid in every spelling.
#![no_main]

use claviger::policy::{
    AuthenticatorKind, Bounds, Ceiling, Draft, DraftError, Policy, Syntax, Tenants, is_policy_name,
};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use std::time::Duration;

static BOUNDS: LazyLock<Bounds> = LazyLock::new(|| Bounds {
    stores: ["vault".into(), "local".into()].into(),
    authenticators: [("cluster".into(), AuthenticatorKind::Kubernetes), ("github".into(), AuthenticatorKind::Oidc)]
        .into(),
    max_ttl: Duration::from_secs(900),
    ceiling: Ceiling::default(),
    tenants: Tenants::default(),
});

fuzz_target!(|text: &str| {
    for syntax in [Syntax::Json, Syntax::Yaml] {
        match Draft::parse(text.as_bytes(), syntax, None, &BOUNDS) {
            Ok(draft) => agrees(&draft),
            Err(DraftError::Invalid(faults)) => {
                assert!(!faults.is_empty());
                assert!(faults.iter().all(|fault| fault.pointer.is_empty() || fault.pointer.starts_with('/')));
            }
            Err(DraftError::IllFormed(_)) => {}
            Err(DraftError::NameMismatch) => panic!("no name was asked for"),
        }
    }
});

fn agrees(draft: &Draft) {
    let (name, spec) = (draft.policy.name(), draft.policy.spec());
    assert!(is_policy_name(name));
    let policy = Policy::compile(name, spec, &BOUNDS).expect("a draft is a policy");
    assert!(!spec.subjects.is_empty() && !spec.repos.is_empty() && !spec.branches.is_empty());
    assert_eq!(spec.effect.as_deref() == Some("deny"), spec.secrets.is_empty(), "an allow grants, a deny does not");
    let body = serde_json::json!({"name": name, "spec": &**spec});
    for (text, syntax) in
        [(body.to_string(), Syntax::Json), (claviger::document::to_yaml(&body).expect("YAML"), Syntax::Yaml)]
    {
        let again =
            Draft::parse(text.as_bytes(), syntax, Some(name), &BOUNDS).unwrap_or_else(|why| panic!("{why:?}: {text}"));
        assert_eq!(again.policy.revision(), policy.revision(), "{text}");
    }
}
