//! What became of a custom resource: the reasons of its condition `Ready`.

use crate::document::Fault;
use crate::policy::compile::{BEYOND_CEILING, UNKNOWN_STORE};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

/// The longest message; the API server takes 32,768 characters.
const MAX_MESSAGE_BYTES: usize = 8 << 10;
/// Of a pointer, and of what is wrong there.
const MAX_PART_BYTES: usize = 512;

/// The reason of the condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The policy is in force.
    Accepted,
    /// It breaks the rules of the policy language.
    Invalid,
    /// It grants secrets outside of the ceiling, or of what its namespace may reach.
    BeyondCeiling,
    /// Another source has a policy of its name.
    NameConflict,
    /// It names a store that is not configured.
    UnknownStore,
}

impl Reason {
    /// Every one of them.
    pub const ALL: [Self; 5] =
        [Self::Accepted, Self::Invalid, Self::BeyondCeiling, Self::NameConflict, Self::UnknownStore];

    /// The word in the condition.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Invalid => "Invalid",
            Self::BeyondCeiling => "BeyondCeiling",
            Self::NameConflict => "NameConflict",
            Self::UnknownStore => "UnknownStore",
        }
    }

    /// The reason that these faults have together: the language first, then what this server has.
    pub(super) fn of(faults: &[Fault]) -> Self {
        let all = |details: &[&str]| faults.iter().all(|fault| details.contains(&&*fault.detail));
        if all(&[BEYOND_CEILING]) {
            Self::BeyondCeiling
        } else if all(&[BEYOND_CEILING, UNKNOWN_STORE]) {
            Self::UnknownStore
        } else {
            Self::Invalid
        }
    }
}

/// The source that has a policy of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A file.
    File,
    /// The database, through the API.
    Api,
    /// The custom resources of the cluster of this authenticator.
    Cluster(Arc<str>),
}

impl Holder {
    pub(super) fn message(&self) -> String {
        match self {
            Self::File => "A policy file has a policy of this name, which is in force instead.".to_owned(),
            Self::Api => "A policy of this name was written through the API and is in force instead.".to_owned(),
            Self::Cluster(name) => format!("The cluster {name} has a policy of this name, which is in force instead."),
        }
    }
}

/// The faults as one text, each with its JSON pointer.
pub(super) fn message(faults: &[Fault]) -> String {
    let mut text = String::new();
    for (index, fault) in faults.iter().enumerate() {
        if text.len() > MAX_MESSAGE_BYTES {
            let _ = write!(text, "; and {} more", faults.len() - index);
            break;
        }
        if index > 0 {
            text.push_str("; ");
        }
        let _ = write!(text, "{}: {}", shortened(&fault.pointer), shortened(&fault.detail));
    }
    text
}

/// At most [`MAX_PART_BYTES`] of a text: a pointer has keys that the author chose, and the API server bounds the whole message.
fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_PART_BYTES {
        return text.into();
    }
    format!("{}...", &text[..text.floor_char_boundary(MAX_PART_BYTES)]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_comes_before_what_this_server_has() {
        let of = |details: &[&str]| {
            Reason::of(&details.iter().map(|detail| Fault::new("/spec", *detail)).collect::<Vec<_>>())
        };
        assert_eq!(of(&[BEYOND_CEILING]), Reason::BeyondCeiling);
        assert_eq!(of(&[BEYOND_CEILING, UNKNOWN_STORE]), Reason::UnknownStore);
        assert_eq!(of(&[BEYOND_CEILING, "is missing"]), Reason::Invalid);
        assert_eq!(of(&[UNKNOWN_STORE, "is missing"]), Reason::Invalid);
    }

    #[test]
    fn a_message_has_all_faults_but_is_bounded() {
        let faults = [Fault::new("/spec/repos/0", "must be a string"), Fault::new("/spec/branches", "is missing")];
        assert_eq!(message(&faults), "/spec/repos/0: must be a string; /spec/branches: is missing");
        let many: Vec<Fault> = (0..10_000).map(|at| Fault::new(format!("/spec/repos/{at}"), "is bad")).collect();
        let text = message(&many);
        assert!(text.len() < MAX_MESSAGE_BYTES + 100 && text.ends_with(" more"), "{}", text.len());
        let long = message(&[Fault::new(format!("/spec/rename/{}", "ü".repeat(20_000)), "is bad")]);
        assert!(long.len() < 2 * MAX_PART_BYTES && long.ends_with("...: is bad"), "{}", long.len());
    }
}
