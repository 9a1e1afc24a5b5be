//! Patterns: the matcher agrees with a second one, written apart from it.
#![no_main]

use claviger::policy::fuzzing::{glob, plain_glob};
use libfuzzer_sys::fuzz_target;

/// The second matcher tries everything.
const SHORT: usize = 24;

// The pattern in the first line, and what it is tried on.
fuzz_target!(|both: &str| {
    let Some((pattern, text)) = both.split_once('\n') else { return };
    let Some(matches) = glob(pattern, text) else { return };
    assert!(!pattern.is_empty() && pattern.len() <= 1024 && !pattern.contains('\\'));
    if !pattern.contains(['*', '?', '[', ']', '{', '}']) {
        assert_eq!(matches, pattern == text, "a literal is only itself");
    }
    let wild = pattern.matches(['*', '?', '{', '[']).count();
    if pattern.len() <= SHORT && text.len() <= SHORT && wild <= 8 {
        assert_eq!(matches, plain_glob(pattern, text), "{pattern:?} on {text:?}");
    }
});
