//! `administrators`: who may administer.

use super::check::Check;
use crate::document::escape;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The checked section.
#[derive(Debug, Clone)]
pub struct Administrators {
    /// The Kubernetes authenticators whose users can be administrators, decided by `SubjectAccessReview` at their
    /// own API server.
    pub subject_access_review: Vec<Arc<str>>,
    /// OIDC callers; every claim of an entry must match.
    pub static_entries: Vec<Static>,
}

/// One entry of `static`.
#[derive(Debug, Clone)]
pub struct Static {
    /// The authenticator that the caller must come from.
    pub authenticator: Arc<str>,
    /// Claims and their required values; at least one.
    pub claims: BTreeMap<String, serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawAdministrators {
    subject_access_review: Option<Reviewed>,
    #[serde(rename = "static")]
    static_entries: Option<Vec<Option<RawStatic>>>,
}

/// `subjectAccessReview` as written in the file.
enum Reviewed {
    All(bool),
    Listed(Vec<Option<String>>),
}

impl<'de> Deserialize<'de> for Reviewed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Reviewed;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("true or false, or a list of the names of kubernetes authenticators")
            }

            fn visit_bool<E>(self, all: bool) -> Result<Reviewed, E> {
                Ok(Reviewed::All(all))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut names: A) -> Result<Reviewed, A::Error> {
                let mut listed = Vec::new();
                while let Some(name) = names.next_element()? {
                    listed.push(name);
                }
                Ok(Reviewed::Listed(listed))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The names of the authenticators by kind, including entries with faults.
pub(super) struct Names {
    pub(super) clusters: Vec<String>,
    pub(super) issuers: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct RawStatic {
    authenticator: Option<String>,
    claims: Option<BTreeMap<String, Value>>,
}

impl RawAdministrators {
    pub(super) fn check(self, names: &Names, check: &mut Check) -> Option<Administrators> {
        let reviewed = check.required(SUBJECT_ACCESS_REVIEW, self.subject_access_review);
        let subject_access_review = reviewed.and_then(|reviewed| reviewed.check(&names.clusters, check));
        let mut static_entries = Vec::new();
        for (index, raw) in self.static_entries.into_iter().flatten().enumerate() {
            let at = format!("/administrators/static/{index}");
            static_entries.extend(check.required(&at, raw).and_then(|raw| raw.check(&at, &names.issuers, check)));
        }
        Some(Administrators { subject_access_review: subject_access_review?, static_entries })
    }
}

const SUBJECT_ACCESS_REVIEW: &str = "/administrators/subjectAccessReview";

impl Reviewed {
    fn check(self, clusters: &[String], check: &mut Check) -> Option<Vec<Arc<str>>> {
        match self {
            Self::All(false) => Some(Vec::new()),
            Self::All(true) if clusters.len() > 1 => {
                check.fault(
                    SUBJECT_ACCESS_REVIEW,
                    "must not be true where there is more than one kubernetes authenticator: the administrators of each of these \
                     clusters would administer the broker. Write false, or the names of those that may: [name]",
                );
                None
            }
            Self::All(true) => Some(clusters.iter().map(|name| name.as_str().into()).collect()),
            Self::Listed(listed) => {
                let mut names: Vec<Arc<str>> = Vec::new();
                for (index, name) in listed.into_iter().enumerate() {
                    let at = format!("{SUBJECT_ACCESS_REVIEW}/{index}");
                    let Some(name) = check.required(&at, name) else { continue };
                    if !clusters.contains(&name) {
                        check.fault(at, "must be the name of a kubernetes authenticator");
                    } else if names.iter().any(|other| **other == *name) {
                        check.fault(at, "is in the list twice");
                    } else {
                        names.push(name.into());
                    }
                }
                Some(names)
            }
        }
    }
}

impl RawStatic {
    fn check(self, at: &str, issuers: &[String], check: &mut Check) -> Option<Static> {
        let authenticator_at = format!("{at}/authenticator");
        let authenticator = check.required(&authenticator_at, self.authenticator);
        if authenticator.as_ref().is_some_and(|name| !issuers.contains(name)) {
            check.fault(authenticator_at, "must be the name of an oidc authenticator");
        }
        let claims = self.claims.unwrap_or_default();
        if claims.is_empty() {
            check.fault(format!("{at}/claims"), "must have at least one claim: everybody would be an administrator");
        }
        for (claim, value) in &claims {
            if !(value.is_string() || value.is_number() || value.is_boolean()) {
                check.fault(format!("{at}/claims/{}", escape(claim)), "must be a text, a number, true or false");
            }
        }
        Some(Static { authenticator: authenticator?.into(), claims })
    }
}
