//! The ACL as a Vault reads it: `+` is any one segment, a `*` at the end any rest. Pure.

use crate::app::Engine;
use crate::policy::PathPart;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

/// A mount, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub segments: Vec<Box<str>>,
    pub engine: Engine,
}

impl Mount {
    /// Whether a path lies below, whatever its placeholders are.
    pub fn holds(&self, path: &[PathPart]) -> bool {
        let is = |part: &PathPart, segment: &str| matches!(part, PathPart::Literal(literal) if **literal == *segment);
        path.len() > self.segments.len() && path.iter().zip(&self.segments).all(|(part, segment)| is(part, segment))
    }
}

/// What a store is asked for.
pub struct Needed<'a> {
    /// None where the policies grant nothing of it.
    pub paths: Option<&'a BTreeSet<Vec<PathPart>>>,
    pub mounts: &'a BTreeMap<(Arc<str>, Vec<PathPart>), Mount>,
}

impl Needed<'_> {
    /// The ACL for a store.
    ///
    /// # Errors
    /// A line for a person about a path that no ACL can be written for.
    pub fn hcl(&self, store: &Arc<str>) -> Result<String, String> {
        let mut rules: BTreeSet<String> = BTreeSet::new();
        let mut has_leases = false;
        for path in self.paths.into_iter().flatten() {
            let Some(mount) = self.mounts.get(&(store.clone(), path.clone())).filter(|mount| mount.holds(path)) else {
                return Err(format!("store {store}: a path ends above its mount, or names it by a placeholder"));
            };
            has_leases |= mount.engine == Engine::Dynamic;
            rules.insert(pattern(mount, path));
        }
        let mut text = format!("# What Claviger's policies read in the store {store:?}, and no more.\n");
        for rule in &rules {
            push(&mut text, rule, "read");
        }
        text.push_str("# Its own token: asked after, and kept alive.\n");
        push(&mut text, "auth/token/lookup-self", "read");
        push(&mut text, "auth/token/renew-self", "update");
        if has_leases {
            text.push_str("# What the store makes on request is prolonged and taken back by its lease.\n");
            push(&mut text, "sys/leases/renew", "update");
            push(&mut text, "sys/leases/revoke", "update");
        }
        Ok(text)
    }
}

fn push(text: &mut String, path: &str, capability: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "path \"{path}\" {{ capabilities = [\"{capability}\"] }}");
}

fn pattern(mount: &Mount, path: &[PathPart]) -> String {
    let mut pattern = mount.segments.join("/");
    if mount.engine == Engine::KvV2 {
        pattern.push_str("/data");
    }
    for part in &path[mount.segments.len()..] {
        pattern.push('/');
        match part {
            PathPart::Literal(literal) => pattern.push_str(literal),
            PathPart::One => pattern.push('+'),
            // There is nothing for "any rest, and then": what follows has to be allowed too.
            PathPart::Many => {
                pattern.push('*');
                break;
            }
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<PathPart> {
        let part = |segment| match segment {
            "+" => PathPart::One,
            "**" => PathPart::Many,
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
        ] {
            assert_eq!(pattern(&mount(at, engine), &path(granted)), expected);
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
    fn leases_are_spoken_of_where_there_are_some() {
        let store: Arc<str> = "vault".into();
        let hcl = |granted: &str, at: Mount| {
            let paths = [path(granted)].into_iter().collect();
            let mounts = [((store.clone(), path(granted)), at)].into_iter().collect();
            Needed { paths: Some(&paths), mounts: &mounts }.hcl(&store)
        };
        let kept = hcl("homelab/+", mount("homelab", Engine::KvV2)).unwrap();
        assert!(kept.contains("path \"homelab/data/+\" { capabilities = [\"read\"] }\n") && !kept.contains("sys/"));
        let made = hcl("db/creds/+", mount("db", Engine::Dynamic)).unwrap();
        assert!(made.contains("path \"sys/leases/revoke\" { capabilities = [\"update\"] }\n"));
        assert!(hcl("db", mount("db", Engine::Dynamic)).is_err());
    }
}
