//! The reasons and messages of the condition `Ready` in the status of a custom resource.

use crate::document::Fault;
use crate::policy::compile::{BEYOND_CEILING_DETAIL, UNKNOWN_STORE_DETAIL};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

/// Length of a message in bytes beyond which further faults are only counted. The API server accepts 32,768 characters.
const MAX_MESSAGE_BYTES: usize = 8 << 10;
/// Maximum length in bytes of the pointer, and of the detail, of a fault in a message.
const MAX_PART_BYTES: usize = 512;

closed_enum! {
    /// The reason of the condition.
    pub enum ReadyReason {
        /// The policy is active.
        Accepted => "Accepted",
        /// It breaks the rules of the policy language, or is beyond the limit of its namespace or cluster.
        Invalid => "Invalid",
        /// It grants secrets outside of the ceiling of the server or of its namespace.
        BeyondCeiling => "BeyondCeiling",
        /// Another source has a policy with its name.
        NameConflict => "NameConflict",
        /// It names a store that is not configured.
        UnknownStore => "UnknownStore",
    }
}

impl ReadyReason {
    /// The reason for a list of faults. A fault of the language takes precedence over an unknown store, and an unknown store
    /// over the ceiling.
    pub(super) fn from_faults(faults: &[Fault]) -> Self {
        let all_are = |details: &[&str]| faults.iter().all(|fault| details.contains(&&*fault.detail));
        if all_are(&[BEYOND_CEILING_DETAIL]) {
            Self::BeyondCeiling
        } else if all_are(&[BEYOND_CEILING_DETAIL, UNKNOWN_STORE_DETAIL]) {
            Self::UnknownStore
        } else {
            Self::Invalid
        }
    }
}

/// The source that has the policy with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameOwner {
    /// A file.
    File,
    /// The database, through the API.
    Api,
    /// The custom resources of the cluster of this authenticator.
    Cluster(Arc<str>),
}

impl NameOwner {
    /// The message of the status of a policy with the same name.
    pub(super) fn message(&self) -> String {
        match self {
            Self::File => "A policy file has a policy of this name, which is in force instead.".to_owned(),
            Self::Api => "A policy of this name was written through the API and is in force instead.".to_owned(),
            Self::Cluster(name) => format!("The cluster {name} has a policy of this name, which is in force instead."),
        }
    }
}

/// The message for a list of faults, each with its JSON pointer.
pub(super) fn faults_message(faults: &[Fault]) -> String {
    let mut text = String::new();
    for (index, fault) in faults.iter().enumerate() {
        if text.len() > MAX_MESSAGE_BYTES {
            let _ = write!(text, "; and {} more", faults.len() - index);
            break;
        }
        if index > 0 {
            text.push_str("; ");
        }
        let _ = write!(text, "{}: {}", shorten(&fault.pointer), shorten(&fault.detail));
    }
    text
}

/// Shortens a text to [`MAX_PART_BYTES`]. A pointer can be long, because it has keys that the author chose.
fn shorten(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_PART_BYTES {
        return text.into();
    }
    format!("{}...", &text[..text.floor_char_boundary(MAX_PART_BYTES)]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_language_take_precedence() {
        let reason = |details: &[&str]| {
            ReadyReason::from_faults(&details.iter().map(|detail| Fault::new("/spec", *detail)).collect::<Vec<_>>())
        };
        assert_eq!(reason(&[BEYOND_CEILING_DETAIL]), ReadyReason::BeyondCeiling);
        assert_eq!(reason(&[BEYOND_CEILING_DETAIL, UNKNOWN_STORE_DETAIL]), ReadyReason::UnknownStore);
        assert_eq!(reason(&[BEYOND_CEILING_DETAIL, "is missing"]), ReadyReason::Invalid);
        assert_eq!(reason(&[UNKNOWN_STORE_DETAIL, "is missing"]), ReadyReason::Invalid);
    }

    #[test]
    fn a_message_lists_faults_up_to_a_limit_and_counts_the_rest() {
        let faults = [Fault::new("/spec/repos/0", "must be a string"), Fault::new("/spec/branches", "is missing")];
        assert_eq!(faults_message(&faults), "/spec/repos/0: must be a string; /spec/branches: is missing");
        let many: Vec<Fault> = (0..10_000).map(|index| Fault::new(format!("/spec/repos/{index}"), "is bad")).collect();
        let text = faults_message(&many);
        assert!(text.len() < MAX_MESSAGE_BYTES + 100 && text.ends_with(" more"), "{}", text.len());
        let long = faults_message(&[Fault::new(format!("/spec/rename/{}", "ü".repeat(20_000)), "is bad")]);
        assert!(long.len() < 2 * MAX_PART_BYTES && long.ends_with("...: is bad"), "{}", long.len());
    }
}
