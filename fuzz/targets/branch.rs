//! Branch names: an accepted name is kept unchanged, and obeys git's rules, which are implemented here a second
//! time.
#![no_main]

use claviger::model::branch::Branch;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let taken = Branch::try_from(text);
    assert_eq!(taken.is_ok(), is_branch(text.as_bytes()), "{text:?}");
    if let Ok(branch) = taken {
        assert_eq!(branch.as_str(), text);
    }
});

/// git-check-ref-format(1), rule by rule, and two rules of our own: no leading dash, and not `HEAD`.
fn is_branch(name: &[u8]) -> bool {
    let has = |part: &[u8]| name.windows(part.len()).any(|window| window == part);
    let components = || name.split(|byte| *byte == b'/');
    !components().any(|component| component.starts_with(b".") || component.ends_with(b".lock"))
        && !has(b"..")
        && !name.iter().any(|byte| *byte < 0o40 || *byte == 0o177 || b" ~^:?*[\\".contains(byte))
        && !name.starts_with(b"/")
        && !name.ends_with(b"/")
        && !has(b"//")
        && !name.ends_with(b".")
        && !has(b"@{")
        && !name.is_empty()
        && name.len() <= 1024
        && !name.starts_with(b"-")
        && name != b"HEAD"
}
