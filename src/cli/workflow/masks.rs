//! Selects the lines of a value that a runner can mask. The runner replaces every occurrence of a mask, so that a short line such as
//! `{` or `1` would hide much of the log, and the gaps would reveal the line.

/// Minimum number of characters of a masked line.
pub(super) const MIN_MASKED_CHARS: usize = 4;

/// The lines of a value that can be masked, each with and without the white space around it, because a log may have either.
pub(super) fn maskable_lines(value: &str) -> impl Iterator<Item = &str> {
    value.split(['\n', '\r']).flat_map(|line| {
        let trimmed = line.trim();
        [Some(line), Some(trimmed).filter(|trimmed| *trimmed != line)]
            .into_iter()
            .flatten()
            .filter(|line| is_maskable(line))
    })
}

fn is_maskable(line: &str) -> bool {
    line.chars().nth(MIN_MASKED_CHARS - 1).is_some() && line.chars().any(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lines_and_lines_of_symbols_are_not_masked() {
        let masked = |value| maskable_lines(value).collect::<Vec<_>>();
        assert_eq!(masked("s3cret"), ["s3cret"]);
        assert_eq!(masked("{\n  \"key\": \"v\"\n}\n"), ["  \"key\": \"v\"", "\"key\": \"v\""]);
        assert_eq!(masked("first\r\n1\rlast"), ["first", "last"]);
        assert_eq!(masked("abcd\n\nabc\n----\n-=+*\n     \n"), ["abcd"]);
        assert_eq!(masked("äöüß\n☃☃☃☃\n12345678"), ["äöüß", "12345678"]);
        assert_eq!(masked("  a "), ["  a "], "as it is, but not `a`");
        assert!(masked("").is_empty() && masked("1\n2\n3").is_empty());
    }
}
