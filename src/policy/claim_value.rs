//! Compiles the required value of a claim in a subject: a pattern or a literal.

use super::glob::Glob;
use super::patterns::compile_pattern;
use crate::document::Fault;
use crate::wire::policy::ClaimValue;

/// Maximum length of a literal in bytes, the same as for patterns.
const MAX_LITERAL_BYTES: usize = 1024;

/// What to do with a pattern that was probably meant literally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AmbiguousPatternAction {
    /// Record a fault. The author can then write the literal form.
    Refuse,
    /// Match as a pattern.
    MatchAsPattern,
    /// Match as a pattern, and also as a literal.
    MatchAlsoLiterally,
}

/// Compiles a value. If it is invalid, records a fault and returns `None`.
pub(super) fn compile(
    value: Option<&ClaimValue>,
    on_ambiguous: AmbiguousPatternAction,
    pointer: impl Fn() -> String,
    faults: &mut Vec<Fault>,
) -> Option<Glob> {
    match value {
        Some(ClaimValue::Pattern(text)) => {
            let before = faults.len();
            let glob = compile_pattern(Some(text), &pointer, faults);
            if let Some(fault) = faults.get_mut(before) {
                fault.detail.push_str("; a literal text is written {is: \"...\"}");
            }
            match glob {
                Some(glob) if has_word_like_class(text) => match on_ambiguous {
                    AmbiguousPatternAction::MatchAsPattern => Some(glob),
                    AmbiguousPatternAction::MatchAlsoLiterally => Some(glob.or_literal(text)),
                    AmbiguousPatternAction::Refuse => Fault::record_none(
                        faults,
                        pointer(),
                        "has a class that looks like a part of a name, as in dependabot[bot], and would match one \
                             letter of it; a name is written {is: \"dependabot[bot]\"}",
                    ),
                },
                glob => glob,
            }
        }
        Some(ClaimValue::Literal(literal)) => match literal.is.as_deref() {
            Some(text) if text.len() <= MAX_LITERAL_BYTES => Some(Glob::from_literal(text)),
            Some(_) => Fault::record_none(faults, format!("{}/is", pointer()), "must have at most 1024 bytes"),
            None => Fault::record_none(faults, format!("{}/is", pointer()), "is missing"),
        },
        None => compile_pattern(None, pointer, faults),
    }
}

/// Whether a value is a pattern that was probably meant literally.
pub(super) fn is_ambiguous(value: &ClaimValue) -> bool {
    matches!(value, ClaimValue::Pattern(text) if has_word_like_class(text))
}

/// Whether a valid pattern has a class that lists at least two letters: `[bot]` is probably part of a name. `[a-z]`,
/// `[0-9]` and `[!ab]` are probably meant as classes, and so is `[Mm]`, one letter in both cases.
fn has_word_like_class(pattern: &str) -> bool {
    let mut rest = pattern;
    while let Some(start) = rest.find('[') {
        let class = &rest[start + 1..];
        let Some(end) = class.find(']') else { return false };
        if is_word_like(&class[..end]) {
            return true;
        }
        rest = &class[end + 1..];
    }
    false
}

fn is_word_like(class: &str) -> bool {
    let mut letters: Vec<char> = Vec::new();
    let mut rest = class.chars().peekable();
    if rest.peek() == Some(&'!') {
        return false;
    }
    while let Some(c) = rest.next() {
        // The hyphen of a range such as `a-z`; as the last character it stands for itself.
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
    fn only_classes_that_list_letters_look_like_words() {
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
            assert!(Glob::parse(pattern).is_ok() && has_word_like_class(pattern), "{pattern}");
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
            assert!(Glob::parse(pattern).is_ok() && !has_word_like_class(pattern), "{pattern}");
        }
    }
}
