//! Matches a pattern's steps against a text as a nondeterministic automaton: every character is read once, and
//! each step is visited at most once per character. No backtracking, no allocation.

use std::fmt;

/// Maximum number of steps of a program, and maximum length of a pattern in bytes.
pub(super) const MAX_STEPS: usize = 1024;

/// One bit for each step, and one for the end.
const WORDS: usize = MAX_STEPS / 64 + 1;

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq)]
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
    /// Inside those segments.
    Within,
    /// `**` at the end: the whole rest.
    Rest,
    /// `{`: the first steps of the alternatives; at least two.
    Fork(Box<[usize]>),
    /// `,`: jumps behind the other alternatives.
    Jump(usize),
}

/// A set of characters; never contains `/`.
#[derive(Debug, Clone, PartialEq)]
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
#[derive(Clone, PartialEq)]
pub(super) struct Program(Box<[Step]>);

impl Program {
    pub(super) fn new(steps: Vec<Step>) -> Self {
        Self(steps.into())
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        // Most patterns are short; then a state set is a single word.
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

    /// Adds a step and every step that can be reached from it without reading a character. All of them have higher
    /// indices, and none is visited twice. Only alternatives recurse, and their number is limited.
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

/// The set of current steps.
struct States<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> States<WORDS> {
    const fn new() -> Self {
        Self([0; WORDS])
    }

    /// Adds a step; false if it was already present.
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
