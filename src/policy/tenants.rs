//! Tenants: the paths that the policies of each namespace may grant (`policies.tenants`).

use super::ceiling::Ceiling;
use super::patterns::{Patterns, compile_pattern};
use crate::document::Fault;
use std::sync::Arc;

/// The placeholder for the namespace of the policy: a whole segment of a prefix. The same as in `crate::config`.
const NAMESPACE_PLACEHOLDER: &str = "{namespace}";

/// The configured tenants, or `None` for no limit. With an empty list no policy of a namespace can grant secrets. Cheap to clone.
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
    /// No limit, for policies that are checked without a server.
    #[must_use]
    pub fn unbounded() -> Self {
        Self(None)
    }

    /// Each entry has patterns of namespaces, and pairs of a store and a path prefix that their policies may grant.
    ///
    /// # Errors
    /// A fault for each invalid pattern, with the JSON pointer `/ENTRY/namespaces/PATTERN`, in which both are indices.
    pub fn new(entries: impl IntoIterator<Item = (Vec<String>, Vec<(Arc<str>, String)>)>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut tenants = Vec::new();
        for (index, (namespaces, ceiling)) in entries.into_iter().enumerate() {
            for (pattern_index, pattern) in namespaces.iter().enumerate() {
                compile_pattern(Some(pattern), || format!("/{index}/namespaces/{pattern_index}"), &mut faults);
            }
            let raw: Vec<Option<String>> = namespaces.into_iter().map(Some).collect();
            if let Some(namespaces) = Patterns::compile(&raw, "", &mut Vec::new()) {
                tenants.push(Tenant { namespaces, ceiling: ceiling.into() });
            }
        }
        if faults.is_empty() { Ok(Self(Some(tenants.into()))) } else { Err(faults) }
    }

    /// The ceiling of the policies of a namespace: the ceiling of the server, limited to the entries that match the namespace.
    pub(super) fn namespace_ceiling(&self, namespace: &str, server: &Ceiling) -> Ceiling {
        let Some(tenants) = &self.0 else { return server.clone() };
        let matching = tenants.iter().filter(|tenant| tenant.namespaces.matches(namespace));
        let entries = matching.flat_map(|tenant| &tenant.ceiling).map(|(store, prefix)| {
            let expand = |segment| if segment == NAMESPACE_PLACEHOLDER { namespace } else { segment };
            (store.clone(), prefix.split('/').map(expand).collect::<Vec<_>>().join("/"))
        });
        server.with_limit(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patterns of namespaces, and the stores and prefixes that they may grant.
    type Entry<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);

    fn tenants(entries: &[Entry<'_>]) -> Result<Tenants, Vec<Fault>> {
        Tenants::new(entries.iter().map(|(namespaces, ceiling)| {
            let ceiling = ceiling.iter().map(|(store, prefix)| ((*store).into(), (*prefix).to_owned())).collect();
            (namespaces.iter().map(|pattern| (*pattern).to_owned()).collect(), ceiling)
        }))
    }

    #[test]
    fn a_namespace_is_limited_to_its_entries() {
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
            let ceiling = tenants.namespace_ceiling(namespace, &Ceiling::default());
            assert_eq!(ceiling.allows(store, path), allowed, "{namespace} {store} {path}");
        }
        assert!(tenants.namespace_ceiling("other", &Ceiling::default()).allows_nothing());
        assert!(!tenants.namespace_ceiling("team-a", &Ceiling::default()).allows_nothing());
    }

    #[test]
    fn the_server_ceiling_also_limits_namespaces() {
        let server = Ceiling::new([("vault".into(), "teams/team-a".to_owned())]);
        let tenants =
            tenants(&[(&["team-*"], &[("vault", "teams/{namespace}"), ("vault", "shared")])]).expect("tenants");
        let ceiling = tenants.namespace_ceiling("team-a", &server);
        assert!(ceiling.allows("vault", "teams/team-a/x") && !ceiling.allows("vault", "shared/x"));
        assert!(!tenants.namespace_ceiling("team-b", &server).allows("vault", "teams/team-b/x"));
        assert!(Tenants::default().namespace_ceiling("team-a", &Ceiling::default()).allows_nothing());
        assert!(Tenants::unbounded().namespace_ceiling("team-a", &Ceiling::default()).allows("vault", "x"));
    }

    #[test]
    fn an_invalid_pattern_is_reported_with_its_pointer() {
        let faults = tenants(&[(&["a"], &[("vault", "")]), (&["b", "[", "c"], &[("vault", "")])]).expect_err("a fault");
        assert_eq!(faults.iter().map(|fault| &*fault.pointer).collect::<Vec<_>>(), ["/1/namespaces/1"]);
    }
}
