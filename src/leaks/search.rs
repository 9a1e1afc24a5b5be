//! The search: input comes in pieces of any size, and every occurrence of every text is reported, also across
//! pieces.

use super::needles::{Machine, Needles, Text};
use aho_corasick::Anchored;
use aho_corasick::automaton::{Automaton, StateID};

/// An occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Its first byte, counted from the start of the search.
    pub start: u64,
    /// Its end, exclusive.
    pub end: u64,
    /// The text; see [`Needles::describe`].
    pub text: usize,
}

/// A search in progress.
pub struct Search<'n> {
    needles: &'n Needles,
    state: StateID,
    at: u64,
    /// Texts whose beginning has matched and whose rest is being compared.
    begun: Vec<PartialMatch>,
}

struct PartialMatch {
    text: usize,
    start: u64,
    seen: usize,
}

impl<'n> Search<'n> {
    /// Starts a search.
    #[must_use]
    pub fn new(needles: &'n Needles) -> Self {
        Self { needles, state: needles.machine.start(), at: 0, begun: Vec::new() }
    }

    /// Searches the next piece.
    pub fn feed(&mut self, piece: &[u8], mut hit: impl FnMut(Hit)) {
        let (needles, at) = (self.needles, self.at);
        self.begun.retain_mut(|begun| begun.goes_on(&needles.texts[begun.text], piece, &mut hit));
        let begun = &mut self.begun;
        let mut anchored = |end: usize, text: usize| {
            let seen = needles.texts[text].anchor().len();
            let start = at + end as u64 - seen as u64;
            let mut new = PartialMatch { text, start, seen };
            if new.goes_on(&needles.texts[text], &piece[end..], &mut hit) {
                begun.push(new);
            }
        };
        match &needles.machine {
            Machine::Table(table) => run(table, &mut self.state, piece, &mut anchored),
            Machine::Links(links) => run(links, &mut self.state, piece, &mut anchored),
        }
        self.at += piece.len() as u64;
    }

    /// Every occurrence that begins before this position has been reported; one may still begin at it.
    #[must_use]
    pub fn settled(&self) -> u64 {
        let anchor = self.at - self.needles.depth(self.state) as u64;
        self.begun.iter().map(|begun| begun.start).fold(anchor, u64::min)
    }

    /// The number of bytes searched.
    #[must_use]
    pub const fn at(&self) -> u64 {
        self.at
    }
}

impl PartialMatch {
    /// Compares the next bytes. False if the comparison has ended, with or without a match.
    fn goes_on(&mut self, text: &Text, piece: &[u8], hit: &mut impl FnMut(Hit)) -> bool {
        let rest = &text.bytes[self.seen..];
        let common = rest.len().min(piece.len());
        if rest[..common] != piece[..common] {
            return false;
        }
        self.seen += common;
        if self.seen < text.bytes.len() {
            return true;
        }
        hit(Hit { start: self.start, end: self.start + self.seen as u64, text: self.text });
        false
    }
}

fn run<A: Automaton>(machine: &A, state: &mut StateID, piece: &[u8], anchored: &mut impl FnMut(usize, usize)) {
    let mut now = *state;
    for (index, byte) in piece.iter().enumerate() {
        now = machine.next_state(Anchored::No, now, *byte);
        if machine.is_special(now) && machine.is_match(now) {
            for which in 0..machine.match_len(now) {
                anchored(index + 1, machine.match_pattern(now, which).as_usize());
            }
        }
    }
    *state = now;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaks::Form;
    use crate::model::secret::SecretValue;

    fn needles(values: &[&str]) -> Needles {
        let values: Vec<_> = values.iter().map(|value| (*value, SecretValue::new((*value).to_owned()))).collect();
        Needles::new(values.iter().map(|(name, value)| (*name, value)), 4, 8).expect("a machine").0
    }

    fn hits(needles: &Needles, pieces: &[&[u8]]) -> Vec<(u64, u64, Form)> {
        let mut search = Search::new(needles);
        let mut found = Vec::new();
        for piece in pieces {
            search.feed(piece, |hit| found.push((hit.start, hit.end, needles.describe(hit.text).1)));
        }
        found.sort_unstable();
        found
    }

    #[test]
    fn it_is_found_wherever_it_is_cut() {
        let long = "a long value that is longer than any anchor";
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
    fn values_that_overlap_are_all_found() {
        let needles = needles(&["abcdef", "cdefgh", "efgh", "abcdefgh"]);
        let raw = |start, end| (start, end, Form::Raw);
        assert_eq!(hits(&needles, &[b"abcdefgh"]), [raw(0, 6), raw(0, 8), raw(2, 8), raw(4, 8)]);
        assert_eq!(hits(&needles, &[b"abcde"]), []);
    }

    #[test]
    fn what_is_settled_is_all_but_a_beginning() {
        let needles = needles(&["secret-of-more-than-one-anchor"]);
        let mut search = Search::new(&needles);
        for (piece, settled) in [
            (&b"nothing"[..], 7),
            (b" s", 8),
            (b"e", 8),
            (b"x", 11),
            (b"secret-of-more-than", 11),
            (b"-one", 11),
            (b"-ancho?", 41),
        ] {
            search.feed(piece, |hit| panic!("{hit:?}"));
            assert_eq!(search.settled(), settled, "{piece:?}");
        }
        assert_eq!(search.at(), 41);
    }
}
