//! Parses the raw path of a request. The path is not normalised. The names in it are percent-decoded later, once.

use percent_encoding::percent_decode_str;

/// The templates of the supported paths, with their methods. Their metrics exist from the start, with the value zero.
pub const SERVED: [(&str, &str); 12] = [
    (LOGIN, "POST"),
    (LOGIN, "PUT"),
    (DATA, "GET"),
    (MOUNT, "GET"),
    (LOOKUP_SELF, "GET"),
    (REVOKE_SELF, "POST"),
    (REVOKE_SELF, "PUT"),
    (RENEW_SELF, "POST"),
    (RENEW_SELF, "PUT"),
    (HEALTH, "GET"),
    (HEALTH, "HEAD"),
    (SEAL_STATUS, "GET"),
];

const LOGIN: &str = "/v1/auth/{mount}/login";
const DATA: &str = "/v1/claviger/data/{repo}/{branch}";
const MOUNT: &str = "/v1/sys/internal/ui/mounts/{path}";
const LOOKUP_SELF: &str = "/v1/auth/token/lookup-self";
const REVOKE_SELF: &str = "/v1/auth/token/revoke-self";
const RENEW_SELF: &str = "/v1/auth/token/renew-self";
const HEALTH: &str = "/v1/sys/health";
const SEAL_STATUS: &str = "/v1/sys/seal-status";
const OTHER: &str = "/v1/{path}";

/// First segments of the native API's paths, after `/v1/`. No path below one of them belongs to the Vault-compatible API.
const NATIVE_ROOTS: [&str; 8] =
    ["tickets", "downloads", "secrets", "policies", "leases", "decisions", "audit", "inventory"];
/// First segments of the paths of KV version 2, after the mount; without `data`.
const OTHER_KV_PATHS: [&str; 6] = ["metadata", "delete", "undelete", "destroy", "subkeys", "config"];

/// The target of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    Login {
        /// The raw path between `auth/` and `/login`.
        mount: &'a str,
    },
    /// Look-up of the caller's own token.
    LookupSelf,
    /// Revocation of the caller's own token.
    RevokeSelf,
    /// Renewal of the caller's own token.
    RenewSelf,
    /// The secrets of a repo and branch.
    Data {
        /// The raw path after `data/`. `None` if there is no slash after `data`.
        raw_path: Option<&'a str>,
    },
    /// Another path of KV version 2.
    OtherKvPath,
    /// Any other path below the mount, as clients of KV version 1 use.
    KvVersion1,
    /// The look-up of the mount.
    Mount,
    /// The health of the server.
    Health,
    SealStatus,
    /// Any other path of Vault's API.
    Other,
}

impl<'a> Target<'a> {
    /// Parses a raw path. `None` for a path of the native API, and for a path that is not below `/v1/`.
    pub fn parse(path: &'a str, our_mount: &str) -> Option<Self> {
        let rest = path.strip_prefix("/v1/")?;
        let (first, below) = rest.split_once('/').map_or((rest, None), |(first, below)| (first, Some(below)));
        if NATIVE_ROOTS.contains(&first) {
            return None;
        }
        Some(match (first, below) {
            (first, Some(below)) if first == our_mount => Self::parse_below_mount(below),
            ("auth", Some("token/lookup-self")) => Self::LookupSelf,
            ("auth", Some("token/revoke-self")) => Self::RevokeSelf,
            ("auth", Some("token/renew-self")) => Self::RenewSelf,
            ("auth", Some(below)) => match below.strip_suffix("/login") {
                Some(mount) if !is_token_mount(mount) => Self::Login { mount },
                _ => Self::Other,
            },
            ("sys", Some("health")) => Self::Health,
            ("sys", Some("seal-status")) => Self::SealStatus,
            ("sys", Some(below)) => match below.strip_prefix("internal/ui/mounts/") {
                Some(path) if path.split('/').next() == Some(our_mount) => Self::Mount,
                _ => Self::Other,
            },
            _ => Self::Other,
        })
    }

    fn parse_below_mount(below: &'a str) -> Self {
        match below.split_once('/').map_or((below, None), |(kind, rest)| (kind, Some(rest))) {
            ("data", raw_path) => Self::Data { raw_path },
            (kind, _) if OTHER_KV_PATHS.contains(&kind) => Self::OtherKvPath,
            _ => Self::KvVersion1,
        }
    }

    /// The allowed methods, as the value of the header `Allow`. `None` for [`Self::Data`], whose method is checked later, and for
    /// paths that are refused with every method.
    pub const fn allowed_methods(self) -> Option<&'static str> {
        match self {
            Self::Login { .. } | Self::RevokeSelf | Self::RenewSelf => Some("POST, PUT"),
            Self::LookupSelf | Self::Mount | Self::SealStatus => Some("GET"),
            Self::Health => Some("GET, HEAD"),
            Self::Data { .. } | Self::OtherKvPath | Self::KvVersion1 | Self::Other => None,
        }
    }

    /// The template of the path, for metrics and traces, which must not contain names that callers choose.
    pub const fn template(self) -> &'static str {
        match self {
            Self::Login { .. } => LOGIN,
            Self::LookupSelf => LOOKUP_SELF,
            Self::RevokeSelf => REVOKE_SELF,
            Self::RenewSelf => RENEW_SELF,
            Self::Data { .. } => DATA,
            Self::Mount => MOUNT,
            Self::Health => HEALTH,
            Self::SealStatus => SEAL_STATUS,
            Self::OtherKvPath | Self::KvVersion1 | Self::Other => OTHER,
        }
    }
}

/// Whether the first segment is `token`, percent-encoded or not: the mount of Vault's own tokens, which has no login.
fn is_token_mount(mount: &str) -> bool {
    mount.split('/').next().is_some_and(|first| percent_decode_str(first).eq(b"token".iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Option<Target<'_>> {
        Target::parse(path, "claviger")
    }

    #[test]
    fn paths_are_parsed() {
        for (path, target) in [
            ("/v1/auth/kubernetes/login", Target::Login { mount: "kubernetes" }),
            ("/v1/auth/a/b/login", Target::Login { mount: "a/b" }),
            ("/v1/auth//login", Target::Login { mount: "" }),
            ("/v1/auth/token/lookup-self", Target::LookupSelf),
            ("/v1/auth/token/revoke-self", Target::RevokeSelf),
            ("/v1/auth/token/renew-self", Target::RenewSelf),
            ("/v1/claviger/data/site/main", Target::Data { raw_path: Some("site/main") }),
            ("/v1/claviger/data/../x//y/", Target::Data { raw_path: Some("../x//y/") }),
            ("/v1/claviger/data/", Target::Data { raw_path: Some("") }),
            ("/v1/claviger/data", Target::Data { raw_path: None }),
            ("/v1/claviger/metadata/site/main", Target::OtherKvPath),
            ("/v1/claviger/config", Target::OtherKvPath),
            ("/v1/claviger/site/main", Target::KvVersion1),
            ("/v1/claviger/%64ata/site/main", Target::KvVersion1),
            ("/v1/claviger/", Target::KvVersion1),
            ("/v1/sys/internal/ui/mounts/claviger", Target::Mount),
            ("/v1/sys/internal/ui/mounts/claviger/site/main", Target::Mount),
            ("/v1/sys/health", Target::Health),
            ("/v1/sys/seal-status", Target::SealStatus),
        ] {
            assert_eq!(parse(path), Some(target), "{path}");
        }
        for path in [
            "/v1/",
            "/v1/claviger",
            "/v1/claviger2/data/site/main",
            "/v1/CLAVIGER/data/site/main",
            "/v1/secret/data/site/main",
            "/v1//claviger/data/site/main",
            "/v1/auth/login",
            "/v1/auth/token/lookup",
            "/v1/auth/token/login",
            "/v1/auth/%74oken/login",
            "/v1/auth/token/x/login",
            "/v1/auth/token/lookup-self/",
            "/v1/auth/kubernetes/login/",
            "/v1/sys/health/",
            "/v1/sys//health",
            "/v1/sys/mounts",
            "/v1/sys/internal/ui/mounts",
            "/v1/sys/internal/ui/mounts/claviger2",
            "/v1/sys/internal/ui/mounts/nope/site",
        ] {
            assert_eq!(parse(path), Some(Target::Other), "{path}");
        }
        for path in
            ["/v1", "/", "/v2/x", "//v1/claviger/data/site/main", "/v1/tickets/a/b", "/v1/downloads/", "/v1/audit/x"]
        {
            assert_eq!(parse(path), None, "{path}");
        }
        assert_eq!(
            Target::parse("/v1/builds/data/site/main", "builds"),
            Some(Target::Data { raw_path: Some("site/main") })
        );
        assert_eq!(Target::parse("/v1/claviger/data/site/main", "builds"), Some(Target::Other));
    }

    #[test]
    fn the_served_methods_are_the_allowed_ones() {
        use Target::{Data, Health, LookupSelf, Mount, RenewSelf, RevokeSelf, SealStatus};
        let login = Target::Login { mount: "jwt" };
        for target in [login, LookupSelf, RevokeSelf, RenewSelf, Mount, Health, SealStatus] {
            let served = SERVED.iter().filter(|(template, _)| *template == target.template());
            let served: Vec<&str> = served.map(|(_, method)| *method).collect();
            assert_eq!(target.allowed_methods(), Some(served.join(", ").as_str()), "{target:?}");
        }
        for target in [Data { raw_path: None }, Target::OtherKvPath, Target::KvVersion1, Target::Other] {
            assert_eq!(target.allowed_methods(), None, "{target:?}");
        }
    }

    #[test]
    fn templates_contain_no_part_of_the_requested_path() {
        let paths =
            ["/v1/auth/x1/login", "/v1/claviger/data/x1/x2", "/v1/x1/x2", "/v1/sys/internal/ui/mounts/claviger/x1"];
        assert!(paths.iter().all(|path| parse(path).is_some_and(|target| !target.template().contains("x1"))));
    }

    #[test]
    fn a_served_template_is_its_own_template() {
        for (template, _) in SERVED {
            assert!(
                parse(template).is_none_or(|target| target.template() == template || target == Target::Other),
                "{template}"
            );
        }
    }
}
