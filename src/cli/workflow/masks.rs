//! Which lines of a value a runner can mask. It replaces a mask wherever it occurs, so a line such as `{` or `1` would hide half of
//! the log, and show by its absence what it is.

/// Least characters of a line that is masked.
pub(super) const MIN_MASKED_CHARS: usize = 4;

/// The lines of a value that can be masked, each also without the white space around it: a log shows either.
pub(super) fn lines(value: &str) -> impl Iterator<Item = &str> {
    value.split(['\n', '\r']).flat_map(|line| {
        let bare = line.trim();
        [Some(line), Some(bare).filter(|bare| *bare != line)].into_iter().flatten().filter(|line| can_be_masked(line))
    })
}

fn can_be_masked(line: &str) -> bool {
    line.chars().nth(MIN_MASKED_CHARS - 1).is_some() && line.chars().any(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_hide_half_of_the_log_are_left_out() {
        let masked = |value| lines(value).collect::<Vec<_>>();
        assert_eq!(masked("s3cret"), ["s3cret"]);
        assert_eq!(masked("{\n  \"key\": \"v\"\n}\n"), ["  \"key\": \"v\"", "\"key\": \"v\""]);
        assert_eq!(masked("first\r\n1\rlast"), ["first", "last"]);
        assert_eq!(masked("abcd\n\nabc\n----\n-=+*\n     \n"), ["abcd"]);
        assert_eq!(masked("äöüß\n☃☃☃☃\n12345678"), ["äöüß", "12345678"]);
        assert_eq!(masked("  a "), ["  a "], "as it is, but not `a`");
        assert!(masked("").is_empty() && masked("1\n2\n3").is_empty());
    }
}
