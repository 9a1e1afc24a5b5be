//! Walks a pattern's steps over a text, all ways at once: every character of the text is looked at once, and each step
//! at most once for it. No backtracking, no allocation.

use std::fmt;

/// The most steps a program has; a pattern has at most as many bytes.
pub(super) const MAX_STEPS: usize = 1024;

/// One bit for each step and one for the end.
const WORDS: usize = MAX_STEPS / 64 + 1;

/// One step of a pattern.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// This character.
    Char(char),
    /// `?`: any character but `/`.
    One,
    /// `[a-z]`.
    Class(Class),
    /// `*`: any run of characters but `/`.
    Run,
    /// `**/`: any number of segments with their slashes. Always followed by its `Within`.
    Segments,
    /// Somewhere in those segments.
    Within,
    /// `**` at the end: everything that is left.
    Rest,
    /// `{`: the places where the alternatives begin; there are at least two.
    Fork(Box<[usize]>),
    /// `,`: past the other alternatives.
    Jump(usize),
}

/// A set of characters; `/` is never in it.
#[derive(Debug, Clone)]
pub(super) struct Class {
    pub(super) negated: bool,
    pub(super) ranges: Box<[(char, char)]>,
}

impl Class {
    fn contains(&self, c: char) -> bool {
        c != '/' && self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != self.negated
    }
}

/// The steps of a pattern.
#[derive(Clone)]
pub(super) struct Program(Box<[Step]>);

impl Program {
    pub(super) fn new(steps: Vec<Step>) -> Self {
        Self(steps.into())
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        // Nearly every pattern is short, and then one word is all there is to look at for a character.
        if self.0.len() < 64 { self.walk::<1>(text) } else { self.walk::<WORDS>(text) }
    }

    fn walk<const WORDS: usize>(&self, text: &str) -> bool {
        let mut now = States::<WORDS>::new();
        self.enter(0, &mut now);
        for c in text.chars() {
            let mut next = States::<WORDS>::new();
            now.each(|at| match &self.0.get(at) {
                Some(Step::Char(wanted)) if c == *wanted => self.enter(at + 1, &mut next),
                Some(Step::One) if c != '/' => self.enter(at + 1, &mut next),
                Some(Step::Class(class)) if class.contains(c) => self.enter(at + 1, &mut next),
                Some(Step::Run) if c != '/' => self.enter(at, &mut next),
                Some(Step::Rest) => self.enter(at, &mut next),
                Some(Step::Within) => {
                    next.insert(at);
                    if c == '/' {
                        self.enter(at + 1, &mut next);
                    }
                }
                _ => {}
            });
            if next.is_empty() {
                return false;
            }
            now = next;
        }
        now.contains(self.0.len())
    }

    /// Stands at a step, and at every step that can be reached from it without a character. All of those lie further
    /// on, and none is entered twice; only alternatives recurse, and there are few.
    fn enter<const WORDS: usize>(&self, mut at: usize, states: &mut States<WORDS>) {
        while states.insert(at) {
            match self.0.get(at) {
                Some(Step::Run | Step::Rest) => at += 1,
                Some(Step::Segments) => {
                    states.insert(at + 1);
                    at += 2;
                }
                Some(Step::Jump(to)) => at = *to,
                Some(Step::Fork(starts)) => {
                    for start in starts {
                        self.enter(*start, states);
                    }
                }
                _ => {}
            }
        }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} steps", self.0.len())
    }
}

/// The steps where a walk stands.
struct States<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> States<WORDS> {
    const fn new() -> Self {
        Self([0; WORDS])
    }

    /// Whether it was not there before.
    fn insert(&mut self, at: usize) -> bool {
        let word = &mut self.0[at / 64];
        let before = *word;
        *word |= 1 << (at % 64);
        *word != before
    }

    fn contains(&self, at: usize) -> bool {
        self.0[at / 64] & (1 << (at % 64)) != 0
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn each(&self, mut visit: impl FnMut(usize)) {
        for (index, word) in self.0.iter().enumerate() {
            let mut left = *word;
            while left != 0 {
                visit(index * 64 + left.trailing_zeros() as usize);
                left &= left - 1;
            }
        }
    }
}
