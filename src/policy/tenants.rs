//! What the policies of a namespace may reach: the entries of `policies.tenants` that name it.

use super::ceiling::Ceiling;
use super::patterns::{Patterns, compile_one};
use crate::document::Fault;
use std::sync::Arc;

/// What a segment of a prefix is written as to stand for the namespace of the policy.
const NAMESPACE: &str = "{namespace}";

/// The configured tenants; cheap to clone. Without entries no policy of a namespace grants anything.
#[derive(Debug, Clone)]
pub struct Tenants(Option<Arc<[Tenant]>>);

#[derive(Debug)]
struct Tenant {
    namespaces: Patterns,
    ceiling: Box<[(Arc<str>, String)]>,
}

impl Default for Tenants {
    fn default() -> Self {
        Self(Some([].into()))
    }
}

impl Tenants {
    /// No bound: for policies that are checked without a server.
    #[must_use]
    pub fn unbounded() -> Self {
        Self(None)
    }

    /// Entries are patterns of namespaces, and the stores and prefixes of paths that their policies may reach.
    ///
    /// # Errors
    /// Every pattern that is none, by the index of its entry and its own.
    pub fn new(entries: impl IntoIterator<Item = (Vec<String>, Vec<(Arc<str>, String)>)>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut tenants = Vec::new();
        for (index, (namespaces, ceiling)) in entries.into_iter().enumerate() {
            for (at, pattern) in namespaces.iter().enumerate() {
                compile_one(Some(pattern), || format!("/{index}/namespaces/{at}"), &mut faults);
            }
            let raw: Vec<Option<String>> = namespaces.into_iter().map(Some).collect();
            if let Some(namespaces) = Patterns::compile(&raw, "", &mut Vec::new()) {
                tenants.push(Tenant { namespaces, ceiling: ceiling.into() });
            }
        }
        if faults.is_empty() { Ok(Self(Some(tenants.into()))) } else { Err(faults) }
    }

    /// The ceiling of the policies of a namespace, below that of the server.
    pub(super) fn ceiling_of(&self, namespace: &str, server: &Ceiling) -> Ceiling {
        let Some(tenants) = &self.0 else { return server.clone() };
        let matching = tenants.iter().filter(|tenant| tenant.namespaces.matches(namespace));
        let entries = matching.flat_map(|tenant| &tenant.ceiling).map(|(store, prefix)| {
            let segment = |segment| if segment == NAMESPACE { namespace } else { segment };
            (store.clone(), prefix.split('/').map(segment).collect::<Vec<_>>().join("/"))
        });
        server.under(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Namespaces, and the stores and prefixes that they may reach.
    type Entry<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);

    fn tenants(entries: &[Entry<'_>]) -> Result<Tenants, Vec<Fault>> {
        Tenants::new(entries.iter().map(|(namespaces, ceiling)| {
            let ceiling = ceiling.iter().map(|(store, prefix)| ((*store).into(), (*prefix).to_owned())).collect();
            (namespaces.iter().map(|one| (*one).to_owned()).collect(), ceiling)
        }))
    }

    #[test]
    fn a_namespace_reaches_what_its_entries_give_and_nothing_else() {
        let tenants = tenants(&[
            (&["team-*"], &[("vault", "teams/{namespace}"), ("local", "shared")]),
            (&["team-a", "infra"], &[("vault", "infra")]),
            (&["all"], &[("vault", "")]),
        ])
        .expect("tenants");
        for (namespace, store, path, allowed) in [
            ("team-a", "vault", "teams/team-a", true),
            ("team-a", "vault", "teams/team-a/x/y", true),
            ("team-a", "vault", "teams/team-ab", false),
            ("team-a", "vault", "teams/team-b/x", false),
            ("team-a", "vault", "teams", false),
            ("team-a", "vault", "teams/{namespace}", false),
            ("team-a", "vault", "infra/x", true),
            ("team-b", "vault", "infra/x", false),
            ("team-b", "vault", "teams/team-b/x", true),
            ("team-b", "local", "shared", true),
            ("team-b", "local", "teams/team-b", false),
            ("other", "vault", "teams/other", false),
            ("other", "local", "shared", false),
            ("all", "vault", "whatever", true),
            ("all", "local", "whatever", false),
        ] {
            let ceiling = tenants.ceiling_of(namespace, &Ceiling::default());
            assert_eq!(ceiling.allows(store, path), allowed, "{namespace} {store} {path}");
        }
        assert!(tenants.ceiling_of("other", &Ceiling::default()).is_closed());
        assert!(!tenants.ceiling_of("team-a", &Ceiling::default()).is_closed());
    }

    #[test]
    fn the_ceiling_of_the_server_holds_as_well() {
        let server = Ceiling::new([("vault".into(), "teams/team-a".to_owned())]);
        let tenants =
            tenants(&[(&["team-*"], &[("vault", "teams/{namespace}"), ("vault", "shared")])]).expect("tenants");
        let ceiling = tenants.ceiling_of("team-a", &server);
        assert!(ceiling.allows("vault", "teams/team-a/x") && !ceiling.allows("vault", "shared/x"));
        assert!(!tenants.ceiling_of("team-b", &server).allows("vault", "teams/team-b/x"));
        assert!(Tenants::default().ceiling_of("team-a", &Ceiling::default()).is_closed());
        assert!(Tenants::unbounded().ceiling_of("team-a", &Ceiling::default()).allows("vault", "x"));
    }

    #[test]
    fn a_bad_pattern_is_told_with_its_place() {
        let faults = tenants(&[(&["a"], &[("vault", "")]), (&["b", "[", "c"], &[("vault", "")])]).expect_err("a fault");
        assert_eq!(faults.iter().map(|fault| &*fault.pointer).collect::<Vec<_>>(), ["/1/namespaces/1"]);
    }
}
