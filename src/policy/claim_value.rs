//! The required value of a claim in a subject: a pattern or a literal.

use super::glob::Glob;
use super::patterns::compile_one;
use crate::document::Fault;
use crate::wire::policy::ClaimValue;

/// Maximum length of a literal in bytes, as for patterns.
const MAX_BYTES: usize = 1024;

/// How a pattern that was probably meant literally is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubtful {
    /// It is a fault; the author can state what is meant.
    Refused,
    /// It stays a pattern, as when it was stored.
    Pattern,
    /// It matches as a pattern and also as a literal.
    PatternOrText,
}

/// Compiles a value, or records the fault.
pub(super) fn compile(
    value: Option<&ClaimValue>,
    doubtful: Doubtful,
    pointer: impl Fn() -> String,
    faults: &mut Vec<Fault>,
) -> Option<Glob> {
    match value {
        Some(ClaimValue::Pattern(text)) => {
            let before = faults.len();
            let glob = compile_one(Some(text), &pointer, faults);
            if let Some(fault) = faults.get_mut(before) {
                fault.detail.push_str("; a text that is meant to the letter is written {is: \"...\"}");
            }
            match glob {
                Some(glob) if has_class_like_a_word(text) => match doubtful {
                    Doubtful::Pattern => Some(glob),
                    Doubtful::PatternOrText => Some(glob.or_text(text)),
                    Doubtful::Refused => {
                        faults.push(Fault::new(
                            pointer(),
                            "has a class that looks like a part of a name, as in dependabot[bot], and would match one \
                             letter of it; a name is written {is: \"dependabot[bot]\"}",
                        ));
                        None
                    }
                },
                glob => glob,
            }
        }
        Some(ClaimValue::Literal(literal)) => match literal.is.as_deref() {
            Some(text) if text.len() <= MAX_BYTES => Some(Glob::literal(text)),
            Some(_) => {
                faults.push(Fault::new(format!("{}/is", pointer()), "must have at most 1024 bytes"));
                None
            }
            None => {
                faults.push(Fault::new(format!("{}/is", pointer()), "is missing"));
                None
            }
        },
        None => compile_one(None, pointer, faults),
    }
}

/// Whether a value is a pattern that was probably meant literally.
pub(super) fn is_doubtful(value: &ClaimValue) -> bool {
    matches!(value, ClaimValue::Pattern(text) if has_class_like_a_word(text))
}

/// Whether a valid pattern has a class of at least two separate letters: `[bot]` is probably the end of a name;
/// `[a-z]`, `[0-9]` and `[!ab]` are classes, and `[Mm]` is one letter in two cases.
fn has_class_like_a_word(pattern: &str) -> bool {
    let mut rest = pattern;
    while let Some(at) = rest.find('[') {
        let class = &rest[at + 1..];
        let Some(end) = class.find(']') else { return false };
        if is_like_a_word(&class[..end]) {
            return true;
        }
        rest = &class[end + 1..];
    }
    false
}

fn is_like_a_word(class: &str) -> bool {
    let mut letters: Vec<char> = Vec::new();
    let mut rest = class.chars().peekable();
    if rest.peek() == Some(&'!') {
        return false;
    }
    while let Some(c) = rest.next() {
        // The hyphen of `a-z`; in last position it stands for itself.
        let mut ahead = rest.clone();
        if ahead.next() == Some('-') && ahead.next().is_some() {
            rest.nth(1);
        } else if c.is_alphabetic() {
            letters.push(c);
        }
    }
    match letters[..] {
        [] | [_] => false,
        [one, other] => one.to_lowercase().ne(other.to_lowercase()),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_of_single_letters_looks_like_a_word_and_others_do_not() {
        for pattern in [
            "dependabot[bot]",
            "renovate[bot]",
            "[bot]*",
            "github-actions[bot]-x",
            "a[ci-test]",
            "x[ab]",
            "[a-zbot]",
            "[0-9]x[bot]",
            "{a,b[ot]}",
            "[éà]",
            "[bot1]",
        ] {
            assert!(Glob::parse(pattern).is_ok() && has_class_like_a_word(pattern), "{pattern}");
        }
        for pattern in [
            "dependabot*",
            "v[0-9]",
            "[a-z]*",
            "[a-zA-Z0-9_-]",
            "release-[12]",
            "[Mm]ain",
            "x[!ab]",
            "[a]",
            "[a-f0]",
            "[_.-]",
            "prod",
        ] {
            assert!(Glob::parse(pattern).is_ok() && !has_class_like_a_word(pattern), "{pattern}");
        }
    }
}
