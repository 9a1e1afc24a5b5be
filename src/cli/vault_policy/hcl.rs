//! Writes an ACL for Vault: `+` matches any segment, a trailing `*` any rest. Pure.

use crate::app::Engine;
use crate::policy::{Access, PathPart};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

/// A mount and its engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub segments: Vec<Box<str>>,
    pub engine: Engine,
}

impl Mount {
    /// Whether a path lies below the mount for all values of its placeholders.
    pub fn holds(&self, path: &[PathPart]) -> bool {
        let is = |part: &PathPart, segment: &str| matches!(part, PathPart::Literal(literal) if **literal == *segment);
        path.len() > self.segments.len() && path.iter().zip(&self.segments).all(|(part, segment)| is(part, segment))
    }
}

/// An operation on a path of a store.
pub struct Needed<'a> {
    /// `None` if the policies grant nothing of the store.
    pub paths: Option<&'a BTreeMap<Vec<PathPart>, BTreeSet<Access>>>,
    pub mounts: &'a BTreeMap<(Arc<str>, Vec<PathPart>), Mount>,
}

impl Needed<'_> {
    /// The ACL for a store.
    ///
    /// # Errors
    /// A message about a path for which no ACL can be written.
    pub fn hcl(&self, store: &Arc<str>) -> Result<String, String> {
        let mut rules: BTreeMap<String, BTreeSet<Access>> = BTreeMap::new();
        let mut leases: BTreeSet<String> = BTreeSet::new();
        for (path, accesses) in self.paths.into_iter().flatten() {
            let Some(mount) = self.mounts.get(&(store.clone(), path.clone())).filter(|mount| mount.holds(path)) else {
                return Err(format!("store {store}: a path ends above its mount, or names it by a placeholder"));
            };
            if mount.engine == Engine::Dynamic {
                leases.insert(lease_pattern(path));
            } else if accesses.contains(&Access::Write) {
                // The broker refuses this write too; the capability would be useless, and would allow changes of
                // secrets.
                return Err(format!("store {store}: a policy has `write` for a key-value mount, which is only read"));
            }
            let pattern = pattern(mount, path)
                .ok_or_else(|| format!("store {store}: a path has a name that an ACL would read as a pattern"))?;
            rules.entry(pattern).or_default().extend(accesses);
        }
        let mut text = format!("# What Claviger's policies read in the store {store:?}, and no more.\n");
        for (rule, accesses) in &rules {
            let capabilities: Vec<_> = accesses.iter().map(|access| capability(*access)).collect();
            push(&mut text, rule, &capabilities.join("\", \""));
        }
        text.push_str("# Its own token: asked after, and kept alive.\n");
        push(&mut text, "auth/token/lookup-self", "read");
        push(&mut text, "auth/token/renew-self", "update");
        if !leases.is_empty() {
            text.push_str(
                "# What the store makes on request is prolonged and taken back by its lease, and no other lease is.\n",
            );
            push_lease(&mut text, "renew", "increment", &leases);
            push_lease(&mut text, "revoke", "sync", &leases);
        }
        Ok(text)
    }
}

fn push(text: &mut String, path: &str, capability: &str) {
    let path = escaped(path);
    // Writing to a String does not fail.
    let _ = writeln!(text, "path \"{path}\" {{ capabilities = [\"{capability}\"] }}");
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// A lease id is the path that was read plus one segment. A parameter that is not listed is refused.
fn push_lease(text: &mut String, act: &str, parameter: &str, leases: &BTreeSet<String>) {
    let ids = leases.iter().map(|lease| format!("\"{}\"", escaped(lease))).collect::<Vec<_>>().join(", ");
    let _ = writeln!(
        text,
        "path \"sys/leases/{act}\" {{\n  capabilities = [\"update\"]\n  allowed_parameters = {{ \"lease_id\" = [{ids}], \
         \"{parameter}\" = [] }}\n}}"
    );
}

/// The ids of the leases of a path. In the value of an allowed parameter, only the beginning and the end may be
/// wildcards.
fn lease_pattern(path: &[PathPart]) -> String {
    let mut pattern = String::new();
    for part in path {
        let PathPart::Literal(literal) = part else { break };
        pattern.push_str(literal);
        pattern.push('/');
    }
    pattern + "*"
}

/// A write to an engine without stored data is an update.
const fn capability(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "update",
    }
}

/// Whether a segment is literal in an ACL: `+` matches any segment there, a `*` at the end of a path matches any
/// rest, `${` begins an interpolation, and `{{` and `}}` enclose a template.
fn is_plain(segment: &str) -> bool {
    segment != "+" && !["*", "${", "{{", "}}"].iter().any(|special| segment.contains(special))
}

/// `None` if a name in it would be read as a pattern.
fn pattern(mount: &Mount, path: &[PathPart]) -> Option<String> {
    if path.iter().any(|part| matches!(part, PathPart::Literal(literal) if !is_plain(literal))) {
        return None;
    }
    let mut pattern = mount.segments.join("/");
    if mount.engine == Engine::KvV2 {
        pattern.push_str("/data");
    }
    for part in &path[mount.segments.len()..] {
        pattern.push('/');
        match part {
            PathPart::Literal(literal) => pattern.push_str(literal),
            PathPart::AnySegment => pattern.push('+'),
            // An ACL has no pattern for several segments followed by others, so everything after it must be
            // allowed.
            PathPart::AnySegments => {
                pattern.push('*');
                break;
            }
        }
    }
    Some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<PathPart> {
        let part = |segment| match segment {
            "+" => PathPart::AnySegment,
            "**" => PathPart::AnySegments,
            literal => PathPart::Literal(literal.into()),
        };
        text.split('/').map(part).collect()
    }

    fn mount(text: &str, engine: Engine) -> Mount {
        Mount { segments: text.split('/').map(Into::into).collect(), engine }
    }

    #[test]
    fn placeholders_become_the_patterns_of_an_acl() {
        for (at, engine, granted, expected) in [
            ("homelab", Engine::KvV2, "homelab/shared", "homelab/data/shared"),
            ("homelab", Engine::KvV2, "homelab/+/+", "homelab/data/+/+"),
            ("homelab", Engine::KvV2, "homelab/**", "homelab/data/*"),
            ("homelab", Engine::KvV2, "homelab/**/main", "homelab/data/*"),
            ("team/kv", Engine::KvV2, "team/kv/+/a", "team/kv/data/+/a"),
            ("old", Engine::KvV1, "old/+/a", "old/+/a"),
            ("database", Engine::Dynamic, "database/creds/app", "database/creds/app"),
            ("homelab", Engine::KvV2, "homelab/Team A/rds!a+b", "homelab/data/Team A/rds!a+b"),
        ] {
            assert_eq!(pattern(&mount(at, engine), &path(granted)).as_deref(), Some(expected));
        }
        for name in ["+", "*", "a*", "a*b", "${x}", "{{identity.entity.id}}", "a{{", "}}b"] {
            let granted = [PathPart::Literal("homelab".into()), PathPart::Literal(name.into())];
            assert_eq!(pattern(&mount("homelab", Engine::KvV2), &granted), None, "{name}");
        }
    }

    #[test]
    fn what_is_written_to_is_updated_and_a_name_ends_no_string() {
        let store: Arc<str> = "vault".into();
        let granted = vec![PathPart::Literal("pki".into()), PathPart::Literal("a\"b\\c".into())];
        let hcl = |accesses: &[Access]| {
            let paths = [(granted.clone(), accesses.iter().copied().collect())].into_iter().collect();
            let mounts = [((store.clone(), granted.clone()), mount("pki", Engine::Dynamic))].into_iter().collect();
            Needed { paths: Some(&paths), mounts: &mounts }.hcl(&store).unwrap()
        };
        for (accesses, capabilities) in [
            (&[Access::Read][..], "\"read\""),
            (&[Access::Write], "\"update\""),
            (&[Access::Write, Access::Read], "\"read\", \"update\""),
        ] {
            let line = format!("path \"pki/a\\\"b\\\\c\" {{ capabilities = [{capabilities}] }}\n");
            let text = hcl(accesses);
            assert!(text.contains(&line), "{text}");
        }
    }

    #[test]
    fn the_leases_of_a_path_begin_with_what_is_literal_in_it() {
        for (granted, expected) in [
            ("database/creds/app", "database/creds/app/*"),
            ("database/creds/+", "database/creds/*"),
            ("team/+/creds/app", "team/*"),
        ] {
            assert_eq!(lease_pattern(&path(granted)), expected);
        }
    }

    #[test]
    fn a_mount_holds_what_lies_below_it_for_certain() {
        let kv = mount("team/kv", Engine::KvV2);
        assert!(kv.holds(&path("team/kv/a")) && kv.holds(&path("team/kv/**")));
        for other in ["team/kv", "team/kv2/a", "team/+/a", "team/**", "team"] {
            assert!(!kv.holds(&path(other)), "{other}");
        }
    }

    #[test]
    fn rules_for_leases_are_written_only_if_there_are_leases() {
        let store: Arc<str> = "vault".into();
        let hcl = |granted: &str, at: Mount| {
            let accesses = BTreeSet::from([Access::Read]);
            let paths = [(path(granted), accesses)].into_iter().collect();
            let mounts = [((store.clone(), path(granted)), at)].into_iter().collect();
            Needed { paths: Some(&paths), mounts: &mounts }.hcl(&store)
        };
        let kept = hcl("homelab/+", mount("homelab", Engine::KvV2)).unwrap();
        assert!(kept.contains("path \"homelab/data/+\" { capabilities = [\"read\"] }\n") && !kept.contains("sys/"));
        let made = hcl("db/creds/+", mount("db", Engine::Dynamic)).unwrap();
        for (act, parameter) in [("renew", "increment"), ("revoke", "sync")] {
            let rule = format!(
                "path \"sys/leases/{act}\" {{\n  capabilities = [\"update\"]\n  allowed_parameters = {{ \"lease_id\" = \
                 [\"db/creds/*\"], \"{parameter}\" = [] }}\n}}\n"
            );
            assert!(made.contains(&rule), "{made}");
        }
        assert!(hcl("db", mount("db", Engine::Dynamic)).is_err());
    }

    #[test]
    fn a_write_to_a_key_value_mount_gets_no_capability() {
        let store: Arc<str> = "vault".into();
        let hcl = |engine: Engine, access: Access| {
            let paths = [(path("team/a"), BTreeSet::from([access]))].into_iter().collect();
            let mounts = [((store.clone(), path("team/a")), mount("team", engine))].into_iter().collect();
            Needed { paths: Some(&paths), mounts: &mounts }.hcl(&store)
        };
        for engine in [Engine::KvV1, Engine::KvV2] {
            assert!(hcl(engine, Access::Read).unwrap().contains("[\"read\"]"));
            assert!(hcl(engine, Access::Write).unwrap_err().contains("a policy has `write` for a key-value mount"));
        }
        assert!(hcl(Engine::Dynamic, Access::Write).unwrap().contains("[\"update\"]"));
    }
}
