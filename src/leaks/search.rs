//! The search for needles in input that comes in pieces. Every occurrence of every needle is reported, also across pieces.

use super::needles::{Needle, NeedleAutomaton, Needles};
use aho_corasick::Anchored;
use aho_corasick::automaton::{Automaton, StateID};

/// An occurrence of a needle in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// The position of its first byte, from the start of the input.
    pub start: u64,
    /// The position after its last byte.
    pub end: u64,
    /// The index of the needle, for [`Needles::describe`].
    pub needle: usize,
}

/// A search in progress.
pub struct Search<'n> {
    needles: &'n Needles,
    state: StateID,
    position: u64,
    /// Needles whose prefix was found and whose rest is being compared.
    partial_matches: Vec<PartialMatch>,
}

struct PartialMatch {
    needle: usize,
    start: u64,
    matched: usize,
}

impl<'n> Search<'n> {
    /// Starts a search.
    #[must_use]
    pub fn new(needles: &'n Needles) -> Self {
        Self { needles, state: needles.automaton.start(), position: 0, partial_matches: Vec::new() }
    }

    /// Searches the next piece, and calls `hit` for each occurrence that ends in it.
    pub fn feed(&mut self, piece: &[u8], mut hit: impl FnMut(Hit)) {
        let (needles, position) = (self.needles, self.position);
        self.partial_matches.retain_mut(|partial| partial.advance(&needles.list[partial.needle], piece, &mut hit));
        let partial_matches = &mut self.partial_matches;
        let mut prefix_found = |end: usize, needle: usize| {
            let matched = needles.list[needle].prefix().len();
            let start = position + end as u64 - matched as u64;
            let mut new = PartialMatch { needle, start, matched };
            if new.advance(&needles.list[needle], &piece[end..], &mut hit) {
                partial_matches.push(new);
            }
        };
        match &needles.automaton {
            NeedleAutomaton::Dfa(dfa) => run_automaton(dfa, &mut self.state, piece, &mut prefix_found),
            NeedleAutomaton::Nfa(nfa) => run_automaton(nfa, &mut self.state, piece, &mut prefix_found),
        }
        self.position += piece.len() as u64;
    }

    /// Every occurrence that starts before this position has been reported.
    #[must_use]
    pub fn reported_position(&self) -> u64 {
        let possible_start = self.position - self.needles.partial_length(self.state) as u64;
        self.partial_matches.iter().map(|partial| partial.start).fold(possible_start, u64::min)
    }

    /// The number of bytes searched.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }
}

impl PartialMatch {
    /// Compares the next bytes. Returns false if the comparison has ended, with or without a match.
    fn advance(&mut self, needle: &Needle, piece: &[u8], hit: &mut impl FnMut(Hit)) -> bool {
        let rest = &needle.bytes[self.matched..];
        let common = rest.len().min(piece.len());
        if rest[..common] != piece[..common] {
            return false;
        }
        self.matched += common;
        if self.matched < needle.bytes.len() {
            return true;
        }
        hit(Hit { start: self.start, end: self.start + self.matched as u64, needle: self.needle });
        false
    }
}

fn run_automaton<A: Automaton>(
    automaton: &A,
    state: &mut StateID,
    piece: &[u8],
    prefix_found: &mut impl FnMut(usize, usize),
) {
    let mut current = *state;
    for (index, byte) in piece.iter().enumerate() {
        current = automaton.next_state(Anchored::No, current, *byte);
        if automaton.is_special(current) && automaton.is_match(current) {
            for pattern in 0..automaton.match_len(current) {
                prefix_found(index + 1, automaton.match_pattern(current, pattern).as_usize());
            }
        }
    }
    *state = current;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaks::Form;
    use crate::model::secret::SecretValue;

    fn needles(values: &[&str]) -> Needles {
        let values: Vec<_> = values.iter().map(|value| (*value, SecretValue::new((*value).to_owned()))).collect();
        Needles::new(values.iter().map(|(name, value)| (*name, value)), 4, 8).expect("an automaton").0
    }

    fn hits(needles: &Needles, pieces: &[&[u8]]) -> Vec<(u64, u64, Form)> {
        let mut search = Search::new(needles);
        let mut found = Vec::new();
        for piece in pieces {
            search.feed(piece, |hit| found.push((hit.start, hit.end, needles.describe(hit.needle).1)));
        }
        found.sort_unstable();
        found
    }

    #[test]
    fn a_value_is_found_wherever_the_input_is_cut() {
        let long = "a long value that is longer than any prefix";
        let needles = needles(&[long]);
        let text = format!("xx{long}yy{long}");
        let expected = [(2, 45, Form::Raw), (47, 90, Form::Raw)];
        assert_eq!(hits(&needles, &[text.as_bytes()]), expected);
        for at in 0..text.len() {
            let (a, b) = text.as_bytes().split_at(at);
            assert_eq!(hits(&needles, &[a, b]), expected, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(hits(&needles, &bytes), expected);
    }

    #[test]
    fn overlapping_values_are_all_found() {
        let needles = needles(&["abcdef", "cdefgh", "efgh", "abcdefgh"]);
        let raw = |start, end| (start, end, Form::Raw);
        assert_eq!(hits(&needles, &[b"abcdefgh"]), [raw(0, 6), raw(0, 8), raw(2, 8), raw(4, 8)]);
        assert_eq!(hits(&needles, &[b"abcde"]), []);
    }

    #[test]
    fn reported_position_excludes_a_possible_start_of_a_value() {
        let needles = needles(&["secret-of-more-than-one-anchor"]);
        let mut search = Search::new(&needles);
        for (piece, expected) in [
            (&b"nothing"[..], 7),
            (b" s", 8),
            (b"e", 8),
            (b"x", 11),
            (b"secret-of-more-than", 11),
            (b"-one", 11),
            (b"-ancho?", 41),
        ] {
            search.feed(piece, |hit| panic!("{hit:?}"));
            assert_eq!(search.reported_position(), expected, "{piece:?}");
        }
        assert_eq!(search.position(), 41);
    }
}
