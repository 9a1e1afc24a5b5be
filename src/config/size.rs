//! Sizes in bytes, with units.

use super::fault_collector::FaultCollector;
use serde::{Deserialize, Deserializer, de};
use std::fmt;
use std::ops::RangeInclusive;

/// A string or number that is parsed as a size later.
pub(super) struct UnparsedSize(String);

impl<'de> Deserialize<'de> for UnparsedSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = UnparsedSize;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(EXPECTED_FORM)
            }

            fn visit_str<E>(self, text: &str) -> Result<UnparsedSize, E> {
                Ok(UnparsedSize(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<UnparsedSize, E> {
                Ok(UnparsedSize(number.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

const EXPECTED_FORM: &str = "a size such as 64KiB, 1MiB or 65536";
pub(super) const MIB: u64 = 1 << 20;
pub(super) const TIB: u64 = 1 << 40;
/// Binary units, the largest first.
const UNITS: [(&str, u64); 4] = [("TiB", TIB), ("GiB", 1 << 30), ("MiB", MIB), ("KiB", 1 << 10)];

impl FaultCollector<'_> {
    /// Requires a size within bounds, and returns it in bytes.
    pub(super) fn require_size(
        &mut self,
        pointer: &str,
        value: Option<UnparsedSize>,
        bounds: RangeInclusive<u64>,
    ) -> Option<u64> {
        let UnparsedSize(text) = self.require(pointer, value)?;
        let unit = UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
        let (digits, unit) = unit.unwrap_or((&text, 1));
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let bytes = digits.parse::<u64>().ok().filter(|_| is_number).and_then(|number| number.checked_mul(unit));
        let bytes = self.ok_or_record(pointer, bytes.ok_or_else(|| format!("must be {EXPECTED_FORM}")))?;
        if !bounds.contains(&bytes) {
            self.record(
                pointer,
                format!("must be between {} and {}", format_size(*bounds.start()), format_size(*bounds.end())),
            );
            return None;
        }
        Some(bytes)
    }
}

/// Formats a size with the largest unit that divides it.
fn format_size(bytes: u64) -> String {
    match UNITS.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None if bytes == 1 => "1 byte".into(),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn sizes_are_parsed_with_binary_units() {
        for (text, bytes) in [
            ("64KiB", Some(65536)),
            ("1MiB", Some(1_048_576)),
            ("1", Some(1)),
            ("16MiB", Some(16_777_216)),
            ("5GiB", Some(5_368_709_120)),
            ("1TiB", Some(1_099_511_627_776)),
            ("2TiB", None),
            ("0", None),
            ("", None),
            ("KiB", None),
            ("64 KiB", None),
            ("64kib", None),
            ("64KB", None),
            ("+1", None),
            ("-1", None),
            ("1.5MiB", None),
            ("99999999999999999999", None),
            ("18446744073709551615MiB", None),
        ] {
            let mut faults = FaultCollector::new(Path::new(""));
            assert_eq!(faults.require_size("/x", Some(UnparsedSize(text.into())), 1..=TIB), bytes, "{text:?}");
            assert_eq!(faults.into_faults().len(), usize::from(bytes.is_none()), "{text:?}");
        }
        let mut faults = FaultCollector::new(Path::new(""));
        assert_eq!(faults.require_size("/x", Some(UnparsedSize("17MiB".into())), 1..=16 * MIB), None);
        assert_eq!(faults.into_faults()[0].detail, "must be between 1 byte and 16MiB");
    }
}
