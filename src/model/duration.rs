//! The text form of durations in the configuration, policies and requests: `90s`, `2m`, `1h30m`.

use std::time::Duration;

/// The text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a duration such as 90s, 2m or 1h30m")]
pub struct ParseDurationError;

/// Parses integers with the units `h`, `m`, `s`, `ms`: each unit at most once, in this order.
///
/// # Errors
/// The text has another form, or the milliseconds overflow 64 bits.
pub fn parse(text: &str) -> Result<Duration, ParseDurationError> {
    const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut units = UNITS.iter();
    let mut rest = text;
    let mut total: u64 = 0;
    if text.is_empty() {
        return Err(ParseDurationError);
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let (_, millis) = units.find(|(name, _)| *name == unit).ok_or(ParseDurationError)?;
        let number: u64 = number.parse().map_err(|_| ParseDurationError)?;
        total = number.checked_mul(*millis).and_then(|part| total.checked_add(part)).ok_or(ParseDurationError)?;
        rest = tail;
    }
    Ok(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_units_in_order() {
        for (text, millis) in
            [("90s", 90_000), ("2m", 120_000), ("1h", 3_600_000), ("1h30m", 5_400_000), ("250ms", 250), ("0s", 0)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn refuses_other_texts() {
        for text in [
            "",
            "90",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "1 s",
            " 1s",
            "1d",
            "1s1m",
            "1s1s",
            "1e3s",
            "1S",
            "99999999999999999h",
            "m",
        ] {
            assert_eq!(parse(text), Err(ParseDurationError), "{text:?}");
        }
    }
}
