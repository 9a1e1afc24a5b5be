//! The value that a subject wants of a claim: a pattern, or one text to the letter.

use super::glob::Glob;
use super::patterns::compile_one;
use crate::document::Fault;
use crate::wire::policy::ClaimValue;

/// The most bytes of a literal; no pattern has more either.
const MAX_BYTES: usize = 1024;

/// What becomes of a pattern that looks as if it were meant to the letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubtful {
    /// It is a fault: whoever writes it can say what is meant.
    Refused,
    /// It is the pattern that it was when it was stored.
    Pattern,
    /// It is that pattern, and the text to the letter as well.
    PatternOrText,
}

/// Compiles a value, or notes why not.
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

/// Whether a value is a pattern that looks as if it were meant to the letter.
pub(super) fn is_doubtful(value: &ClaimValue) -> bool {
    matches!(value, ClaimValue::Pattern(text) if has_class_like_a_word(text))
}

/// Whether a pattern, which must be one, has a class of two letters or more that stand by themselves: `[bot]` is the end of a
/// name, `[a-z]`, `[0-9]` and `[!ab]` are classes. `[Mm]` is one letter in two cases.
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
        // The hyphen of `a-z`, which is none where it stands last.
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
