//! Parses the raw request target. Nothing is normalised: only the names in the path are decoded, once each.

use percent_encoding::percent_decode_str;

/// The templates of supported paths with their methods; their metrics start at zero.
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

/// First segments of the native API's paths. An unknown path below one of them is not found, as elsewhere.
const NATIVE_ROOTS: [&str; 8] =
    ["tickets", "downloads", "secrets", "policies", "leases", "decisions", "audit", "inventory"];
/// Other paths of KV version 2, beside `data`.
const OTHER_KV_PATHS: [&str; 6] = ["metadata", "delete", "undelete", "destroy", "subkeys", "config"];

/// The target of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A login, with its raw segments.
    Login {
        /// The raw text between `auth/` and `/login`.
        mount: &'a str,
    },
    /// Look-up of the caller's own token.
    LookupSelf,
    /// Revocation of the caller's own token.
    RevokeSelf,
    /// Renewal of the caller's own token.
    RenewSelf,
    /// A bundle.
    Data {
        /// The raw text after `data/`; `None` if there is none.
        names: Option<&'a str>,
    },
    /// Another path of KV version 2.
    OtherOfMount,
    /// A path of the mount in the form of KV version 1.
    Unversioned,
    /// The look-up of Claviger's mount.
    Mount,
    /// The health of the server.
    Health,
    /// The seal status.
    SealStatus,
    /// Any other path of a Vault.
    Other,
}

impl<'a> Target<'a> {
    /// Parses a raw path. `None` for a path of the native API, and for a path that is not below `/v1/`.
    pub fn of(path: &'a str, our_mount: &str) -> Option<Self> {
        let rest = path.strip_prefix("/v1/")?;
        let (first, below) = rest.split_once('/').map_or((rest, None), |(first, below)| (first, Some(below)));
        if NATIVE_ROOTS.contains(&first) {
            return None;
        }
        Some(match (first, below) {
            (first, Some(below)) if first == our_mount => Self::of_mount(below),
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

    fn of_mount(below: &'a str) -> Self {
        match below.split_once('/').map_or((below, None), |(kind, names)| (kind, Some(names))) {
            ("data", names) => Self::Data { names },
            (kind, _) if OTHER_KV_PATHS.contains(&kind) => Self::OtherOfMount,
            _ => Self::Unversioned,
        }
    }

    /// The template for metrics and traces, which must not contain names chosen by callers.
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
            Self::OtherOfMount | Self::Unversioned | Self::Other => OTHER,
        }
    }
}

/// Whether the mount is the one of Vault's own tokens, which has no login.
fn is_token_mount(mount: &str) -> bool {
    mount.split('/').next().is_some_and(|first| percent_decode_str(first).eq(b"token".iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Option<Target<'_>> {
        Target::of(path, "claviger")
    }

    #[test]
    fn each_path_means_one_thing() {
        for (path, target) in [
            ("/v1/auth/kubernetes/login", Target::Login { mount: "kubernetes" }),
            ("/v1/auth/a/b/login", Target::Login { mount: "a/b" }),
            ("/v1/auth//login", Target::Login { mount: "" }),
            ("/v1/auth/token/lookup-self", Target::LookupSelf),
            ("/v1/auth/token/revoke-self", Target::RevokeSelf),
            ("/v1/auth/token/renew-self", Target::RenewSelf),
            ("/v1/claviger/data/site/main", Target::Data { names: Some("site/main") }),
            ("/v1/claviger/data/../x//y/", Target::Data { names: Some("../x//y/") }),
            ("/v1/claviger/data/", Target::Data { names: Some("") }),
            ("/v1/claviger/data", Target::Data { names: None }),
            ("/v1/claviger/metadata/site/main", Target::OtherOfMount),
            ("/v1/claviger/config", Target::OtherOfMount),
            ("/v1/claviger/site/main", Target::Unversioned),
            ("/v1/claviger/%64ata/site/main", Target::Unversioned),
            ("/v1/claviger/", Target::Unversioned),
            ("/v1/sys/internal/ui/mounts/claviger", Target::Mount),
            ("/v1/sys/internal/ui/mounts/claviger/site/main", Target::Mount),
            ("/v1/sys/health", Target::Health),
            ("/v1/sys/seal-status", Target::SealStatus),
        ] {
            assert_eq!(of(path), Some(target), "{path}");
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
            assert_eq!(of(path), Some(Target::Other), "{path}");
        }
        for path in
            ["/v1", "/", "/v2/x", "//v1/claviger/data/site/main", "/v1/tickets/a/b", "/v1/downloads/", "/v1/audit/x"]
        {
            assert_eq!(of(path), None, "{path}");
        }
        assert_eq!(Target::of("/v1/builds/data/site/main", "builds"), Some(Target::Data { names: Some("site/main") }));
        assert_eq!(Target::of("/v1/claviger/data/site/main", "builds"), Some(Target::Other));
    }

    #[test]
    fn no_template_has_a_name_of_a_callers() {
        let templates =
            ["/v1/auth/x1/login", "/v1/claviger/data/x1/x2", "/v1/x1/x2", "/v1/sys/internal/ui/mounts/claviger/x1"];
        assert!(templates.iter().all(|path| of(path).is_some_and(|target| !target.template().contains("x1"))));
        for (template, _) in SERVED {
            assert!(
                of(template).is_none_or(|target| target.template() == template || target == Target::Other),
                "{template}"
            );
        }
    }
}
