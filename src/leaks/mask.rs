//! Masks values in a stream: `***` replaces each occurrence. Adjacent or overlapping occurrences get one `***`.
//!
//! Bytes are held back only while they may be the start of a value, so that a prompt appears at once.

use super::needles::Needles;
use super::search::Search;
use zeroize::Zeroizing;

const MASKED: &[u8] = b"***";

/// A stream filter that masks values.
pub struct Mask<'n> {
    search: Search<'n>,
    /// Input that has not been written yet.
    pending: Zeroizing<Vec<u8>>,
    /// The position of `pending` in the stream.
    pending_start: u64,
    /// Start and end of occurrences that are not masked yet.
    spans: Vec<(u64, u64)>,
    /// The position in the input where the last text ends that `***` replaces.
    end_of_last: u64,
}

impl<'n> Mask<'n> {
    /// A filter at the start of a stream.
    #[must_use]
    pub fn new(needles: &'n Needles) -> Self {
        Self {
            search: Search::new(needles),
            pending: Zeroizing::default(),
            pending_start: 0,
            spans: Vec::new(),
            end_of_last: 0,
        }
    }

    /// Takes the next piece of input, and appends to `out` what can be written.
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let spans = &mut self.spans;
        self.search.feed(piece, |hit| spans.push((hit.start, hit.end)));
        self.pending.extend_from_slice(piece);
        self.release(self.search.reported_position(), out);
    }

    /// Ends the input, and appends the rest to `out`.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.release(self.search.position(), out);
    }

    /// Appends everything before position `to`. Every value that starts before `to` must have been reported.
    fn release(&mut self, to: u64, out: &mut Vec<u8>) {
        self.spans.sort_unstable();
        let mut written = self.pending_start.max(self.end_of_last.min(to));
        let known = self.spans.partition_point(|(start, _)| *start < to);
        for (start, end) in self.spans.drain(..known) {
            // An occurrence that begins at or before the end of the last mask extends it.
            if start > self.end_of_last || self.end_of_last == 0 {
                out.extend_from_slice(slice(&self.pending, self.pending_start, written, start));
                out.extend_from_slice(MASKED);
            }
            self.end_of_last = self.end_of_last.max(end);
            written = written.max(self.end_of_last.min(to));
        }
        out.extend_from_slice(slice(&self.pending, self.pending_start, written, to));
        let released = usize::try_from(to - self.pending_start).unwrap_or(usize::MAX).min(self.pending.len());
        self.pending.drain(..released);
        self.pending_start = to;
    }
}

/// The pending bytes between two positions in the stream.
fn slice(pending: &[u8], pending_start: u64, start: u64, end: u64) -> &[u8] {
    let index = |position: u64| usize::try_from(position.saturating_sub(pending_start)).unwrap_or(usize::MAX);
    pending.get(index(start)..index(end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::SecretValue;
    use proptest::prelude::*;

    fn needles(values: &[&str]) -> Needles {
        let values: Vec<_> = values.iter().map(|value| (*value, SecretValue::new((*value).to_owned()))).collect();
        Needles::new(values.iter().map(|(name, value)| (*name, value)), 4, 8).expect("an automaton").0
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
    fn values_are_masked_in_every_encoding() {
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
    fn a_prompt_is_written_at_once() {
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
        /// Compares with a simple implementation, which marks the bytes of all occurrences and replaces each marked run by `***`.
        #[test]
        fn masks_like_a_simple_implementation(
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
