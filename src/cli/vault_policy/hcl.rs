//! Renders a Vault ACL policy in HCL. In a path of an ACL `+` matches one segment, and a trailing `*` any rest. No I/O.

use crate::app::Engine;
use crate::policy::{Access, PathPart};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

/// The path of a mount, and its secrets engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub segments: Vec<Box<str>>,
    pub engine: Engine,
}

impl Mount {
    /// Whether a path lies below the mount, whatever values the placeholders of the path have.
    pub fn contains(&self, path: &[PathPart]) -> bool {
        let matches =
            |part: &PathPart, segment: &str| matches!(part, PathPart::Literal(literal) if **literal == *segment);
        path.len() > self.segments.len()
            && path.iter().zip(&self.segments).all(|(part, segment)| matches(part, segment))
    }
}

/// The paths and mounts from which the ACL policy of a store is rendered.
pub struct AclInput<'a> {
    /// The granted paths, with the access to each. `None` if the policies grant no path of the store.
    pub paths: Option<&'a BTreeMap<Vec<PathPart>, BTreeSet<Access>>>,
    /// The mount of each granted path, by store and path.
    pub mounts: &'a BTreeMap<(Arc<str>, Vec<PathPart>), Mount>,
}

impl AclInput<'_> {
    /// Renders the ACL policy for a store.
    ///
    /// # Errors
    /// A sentence about a path for which no rule can be rendered.
    pub fn render(&self, store: &Arc<str>) -> Result<String, String> {
        let mut rules: BTreeMap<String, BTreeSet<Access>> = BTreeMap::new();
        let mut leases: BTreeSet<String> = BTreeSet::new();
        for (path, accesses) in self.paths.into_iter().flatten() {
            let Some(mount) = self.mounts.get(&(store.clone(), path.clone())).filter(|mount| mount.contains(path))
            else {
                return Err(format!(
                    "store {store}: a path ends above its mount, or has a placeholder in the part that names the mount"
                ));
            };
            if mount.engine == Engine::Dynamic {
                leases.insert(lease_pattern(path));
            } else if accesses.contains(&Access::Write) {
                // The broker refuses such a write. The capability would only let the token change secrets.
                return Err(format!("store {store}: a policy has `write` for a key-value mount, which is only read"));
            }
            let rule_path = rule_path(mount, path)
                .ok_or_else(|| format!("store {store}: a path has a segment that an ACL would take for a pattern"))?;
            rules.entry(rule_path).or_default().extend(accesses);
        }
        add_overlapping(&mut rules);
        let mut text = format!("# The paths that Claviger's policies grant in the store {store:?}.\n");
        for (rule, accesses) in &rules {
            let capabilities: Vec<_> = accesses.iter().map(|access| capability(*access)).collect();
            push_rule(&mut text, rule, &capabilities.join("\", \""));
        }
        text.push_str("# Look-up and renewal of the token itself.\n");
        push_rule(&mut text, "auth/token/lookup-self", "read");
        push_rule(&mut text, "auth/token/renew-self", "update");
        if !leases.is_empty() {
            text.push_str("# Renewal and revocation of the leases of dynamic secrets, and of no other leases.\n");
            push_lease_rule(&mut text, "renew", "increment", &leases);
            push_lease_rule(&mut text, "revoke", "sync", &leases);
        }
        Ok(text)
    }
}

/// Adds to each rule the accesses of the others that match the same path: Vault applies only the most specific rule. Which of two
/// wildcard rules is applied is not computed, so both get the accesses of the other.
fn add_overlapping(rules: &mut BTreeMap<String, BTreeSet<Access>>) {
    let all: BTreeSet<Access> = rules.values().flatten().copied().collect();
    if all.len() < 2 {
        return;
    }
    let with_wildcards: Vec<(String, BTreeSet<Access>)> = rules
        .iter()
        .filter(|(rule, _)| rule.split('/').any(is_wildcard))
        .map(|(rule, accesses)| (rule.clone(), accesses.clone()))
        .collect();
    for (rule, accesses) in rules {
        for (_, others) in with_wildcards.iter().filter(|(other, _)| overlap(rule, other)) {
            accesses.extend(others);
        }
    }
}

fn is_wildcard(segment: &str) -> bool {
    matches!(segment, "+" | "*")
}

/// Whether the paths of two rules have a path in common.
fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            (None, None) | (Some("*"), Some(_)) | (Some(_), Some("*")) => return true,
            (Some(left), Some(right)) if left == right || left == "+" || right == "+" => {}
            _ => return false,
        }
    }
}

fn push_rule(text: &mut String, path: &str, capability: &str) {
    let path = escaped(path);
    // Writing to a String does not fail.
    let _ = writeln!(text, "path \"{path}\" {{ capabilities = [\"{capability}\"] }}");
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Adds a rule for leases. A lease id is the path that was read plus one segment. Vault refuses a parameter that the rule
/// does not list.
fn push_lease_rule(text: &mut String, operation: &str, parameter: &str, leases: &BTreeSet<String>) {
    let ids = leases.iter().map(|lease| format!("\"{}\"", escaped(lease))).collect::<Vec<_>>().join(", ");
    let _ = writeln!(
        text,
        "path \"sys/leases/{operation}\" {{\n  capabilities = [\"update\"]\n  allowed_parameters = {{ \"lease_id\" = [{ids}], \
         \"{parameter}\" = [] }}\n}}"
    );
}

/// A pattern for the lease ids of a path. It ends at the first placeholder, because Vault allows `*` only at the beginning and
/// the end of the value of a parameter.
fn lease_pattern(path: &[PathPart]) -> String {
    let mut pattern = String::new();
    for part in path {
        let PathPart::Literal(literal) = part else { break };
        pattern.push_str(literal);
        pattern.push('/');
    }
    pattern + "*"
}

/// The capability for an access. A write to an engine without stored data needs `update`.
const fn capability(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "update",
    }
}

/// Whether an ACL matches a segment literally. `+` and `*` are wildcards there, `${` begins an interpolation, and `{{` and
/// `}}` enclose a template.
fn is_literal(segment: &str) -> bool {
    segment != "+" && !["*", "${", "{{", "}}"].iter().any(|special| segment.contains(special))
}

/// The path of the rule for a granted path. `None` if an ACL would take a literal segment of the path for a pattern.
fn rule_path(mount: &Mount, path: &[PathPart]) -> Option<String> {
    if path.iter().any(|part| matches!(part, PathPart::Literal(literal) if !is_literal(literal))) {
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
            // An ACL has no pattern for several segments in the middle, so any rest is allowed.
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
    fn placeholders_become_acl_patterns() {
        for (mount_path, engine, granted, expected) in [
            ("homelab", Engine::KvV2, "homelab/shared", "homelab/data/shared"),
            ("homelab", Engine::KvV2, "homelab/+/+", "homelab/data/+/+"),
            ("homelab", Engine::KvV2, "homelab/**", "homelab/data/*"),
            ("homelab", Engine::KvV2, "homelab/**/main", "homelab/data/*"),
            ("team/kv", Engine::KvV2, "team/kv/+/a", "team/kv/data/+/a"),
            ("old", Engine::KvV1, "old/+/a", "old/+/a"),
            ("database", Engine::Dynamic, "database/creds/app", "database/creds/app"),
            ("homelab", Engine::KvV2, "homelab/Team A/rds!a+b", "homelab/data/Team A/rds!a+b"),
        ] {
            assert_eq!(rule_path(&mount(mount_path, engine), &path(granted)).as_deref(), Some(expected));
        }
        for name in ["+", "*", "a*", "a*b", "${x}", "{{identity.entity.id}}", "a{{", "}}b"] {
            let granted = [PathPart::Literal("homelab".into()), PathPart::Literal(name.into())];
            assert_eq!(rule_path(&mount("homelab", Engine::KvV2), &granted), None, "{name}");
        }
    }

    #[test]
    fn accesses_become_capabilities_and_names_are_escaped() {
        let store: Arc<str> = "vault".into();
        let granted = vec![PathPart::Literal("pki".into()), PathPart::Literal("a\"b\\c".into())];
        let hcl = |accesses: &[Access]| {
            let paths = [(granted.clone(), accesses.iter().copied().collect())].into_iter().collect();
            let mounts = [((store.clone(), granted.clone()), mount("pki", Engine::Dynamic))].into_iter().collect();
            AclInput { paths: Some(&paths), mounts: &mounts }.render(&store).unwrap()
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
    fn a_rule_has_the_accesses_of_wildcard_rules_that_match_its_paths() {
        let store: Arc<str> = "vault".into();
        let hcl = |granted: &[(&str, Access)]| {
            let mut paths: BTreeMap<Vec<PathPart>, BTreeSet<Access>> = BTreeMap::new();
            for (text, access) in granted {
                paths.entry(path(text)).or_default().insert(*access);
            }
            let mounts =
                paths.keys().map(|path| ((store.clone(), path.clone()), mount("pki", Engine::Dynamic))).collect();
            AclInput { paths: Some(&paths), mounts: &mounts }.render(&store).unwrap()
        };
        let (read, update, both) = ("[\"read\"]", "[\"update\"]", "[\"read\", \"update\"]");
        for (one, other, capabilities) in [
            // The exact rule is applied to its path, for which the other policy needs `update`.
            ("pki/issue/web", "pki/issue/+", (both, update)),
            ("pki/issue/web", "pki/**", (both, update)),
            ("pki/issue/+", "pki/+/web", (both, both)),
            ("pki/issue/+", "pki/issue/web", (read, both)),
            ("pki/issue/web", "pki/issue/web/+", (read, update)),
            ("pki/issue/web", "pki/sign/+", (read, update)),
        ] {
            let text = hcl(&[(one, Access::Read), (other, Access::Write)]);
            for (rule, capabilities) in [(one, capabilities.0), (other, capabilities.1)] {
                let line = format!("path \"{}\" {{ capabilities = {capabilities} }}\n", rule.replace("**", "*"));
                assert!(text.contains(&line), "{one} {other}: {text}");
            }
        }
    }

    #[test]
    fn lease_pattern_begins_with_the_literal_segments() {
        for (granted, expected) in [
            ("database/creds/app", "database/creds/app/*"),
            ("database/creds/+", "database/creds/*"),
            ("team/+/creds/app", "team/*"),
        ] {
            assert_eq!(lease_pattern(&path(granted)), expected);
        }
    }

    #[test]
    fn mount_contains_paths_below_it_for_all_placeholder_values() {
        let kv = mount("team/kv", Engine::KvV2);
        assert!(kv.contains(&path("team/kv/a")) && kv.contains(&path("team/kv/**")));
        for other in ["team/kv", "team/kv2/a", "team/+/a", "team/**", "team"] {
            assert!(!kv.contains(&path(other)), "{other}");
        }
    }

    #[test]
    fn lease_rules_are_rendered_only_for_dynamic_secrets() {
        let store: Arc<str> = "vault".into();
        let hcl = |granted: &str, mount: Mount| {
            let accesses = BTreeSet::from([Access::Read]);
            let paths = [(path(granted), accesses)].into_iter().collect();
            let mounts = [((store.clone(), path(granted)), mount)].into_iter().collect();
            AclInput { paths: Some(&paths), mounts: &mounts }.render(&store)
        };
        let kv_policy = hcl("homelab/+", mount("homelab", Engine::KvV2)).unwrap();
        assert!(
            kv_policy.contains("path \"homelab/data/+\" { capabilities = [\"read\"] }\n")
                && !kv_policy.contains("sys/")
        );
        let dynamic_policy = hcl("db/creds/+", mount("db", Engine::Dynamic)).unwrap();
        for (operation, parameter) in [("renew", "increment"), ("revoke", "sync")] {
            let rule = format!(
                "path \"sys/leases/{operation}\" {{\n  capabilities = [\"update\"]\n  allowed_parameters = {{ \"lease_id\" = \
                 [\"db/creds/*\"], \"{parameter}\" = [] }}\n}}\n"
            );
            assert!(dynamic_policy.contains(&rule), "{dynamic_policy}");
        }
        assert!(hcl("db", mount("db", Engine::Dynamic)).is_err());
    }

    #[test]
    fn write_to_a_key_value_mount_is_refused() {
        let store: Arc<str> = "vault".into();
        let hcl = |engine: Engine, access: Access| {
            let paths = [(path("team/a"), BTreeSet::from([access]))].into_iter().collect();
            let mounts = [((store.clone(), path("team/a")), mount("team", engine))].into_iter().collect();
            AclInput { paths: Some(&paths), mounts: &mounts }.render(&store)
        };
        for engine in [Engine::KvV1, Engine::KvV2] {
            assert!(hcl(engine, Access::Read).unwrap().contains("[\"read\"]"));
            assert!(hcl(engine, Access::Write).unwrap_err().contains("a policy has `write` for a key-value mount"));
        }
        assert!(hcl(Engine::Dynamic, Access::Write).unwrap().contains("[\"update\"]"));
    }
}
