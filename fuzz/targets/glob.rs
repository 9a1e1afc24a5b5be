//! Patterns: the matcher agrees with an independent second one.
#![no_main]

use claviger::policy::fuzzing::{glob, reference_glob};
use libfuzzer_sys::fuzz_target;

/// Length limit, because the second matcher takes exponential time.
const SHORT: usize = 24;

// The first line is the pattern, the rest is the text.
fuzz_target!(|both: &str| {
    let Some((pattern, text)) = both.split_once('\n') else { return };
    let Some(matches) = glob(pattern, text) else { return };
    assert!(!pattern.is_empty() && pattern.len() <= 1024 && !pattern.contains('\\'));
    if !pattern.contains(['*', '?', '[', ']', '{', '}']) {
        assert_eq!(matches, pattern == text, "a literal is only itself");
    }
    let wild = pattern.matches(['*', '?', '{', '[']).count();
    if pattern.len() <= SHORT && text.len() <= SHORT && wild <= 8 {
        assert_eq!(matches, reference_glob(pattern, text), "{pattern:?} on {text:?}");
    }
});
