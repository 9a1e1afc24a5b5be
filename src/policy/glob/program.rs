//! Matches a pattern's steps against a text as a nondeterministic automaton: every character is read once, and
//! each step is visited at most once per character. No backtracking, no allocation.

use std::fmt;

/// Maximum number of steps of a program, and maximum length of a pattern in bytes.
pub(super) const MAX_STEPS: usize = 1024;

/// Number of 64-bit words that hold one bit for each step and one for the end.
const MAX_WORDS: usize = MAX_STEPS / 64 + 1;

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// This character.
    Char(char),
    /// `?`: any character except `/`.
    AnyChar,
    /// `[a-z]`.
    Class(CharClass),
    /// `*`: any number of characters except `/`.
    AnyChars,
    /// `**/`: any number of segments, each with its slash. Always followed by `InsideSegments`.
    AnySegments,
    /// Reads the characters of the segments that `AnySegments` matches.
    InsideSegments,
    /// `**` at the end: the whole rest of the text.
    AnyRest,
    /// `{`: the indices of the first steps of the alternatives, of which there are at least two.
    Fork(Box<[usize]>),
    /// `,`: continues after the last alternative.
    Jump(usize),
}

/// A set of characters; never contains `/`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CharClass {
    pub(super) negated: bool,
    pub(super) ranges: Box<[(char, char)]>,
}

impl CharClass {
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
        // Most patterns are short; a set of their steps fits a single word.
        if self.0.len() < 64 { self.run::<1>(text) } else { self.run::<MAX_WORDS>(text) }
    }

    fn run<const WORDS: usize>(&self, text: &str) -> bool {
        let mut current = StepSet::<WORDS>::new();
        self.add(0, &mut current);
        for c in text.chars() {
            let mut next = StepSet::<WORDS>::new();
            current.for_each(|index| match &self.0.get(index) {
                Some(Step::Char(wanted)) if c == *wanted => self.add(index + 1, &mut next),
                Some(Step::AnyChar) if c != '/' => self.add(index + 1, &mut next),
                Some(Step::Class(class)) if class.contains(c) => self.add(index + 1, &mut next),
                Some(Step::AnyChars) if c != '/' => self.add(index, &mut next),
                Some(Step::AnyRest) => self.add(index, &mut next),
                Some(Step::InsideSegments) => {
                    next.insert(index);
                    if c == '/' {
                        self.add(index + 1, &mut next);
                    }
                }
                _ => {}
            });
            if next.is_empty() {
                return false;
            }
            current = next;
        }
        current.contains(self.0.len())
    }

    /// Adds a step to the set, and every step that can be reached from it without reading a character. Stops at a step that the set
    /// already has, so no step is visited twice, and the loop ends at a step that reads a character. Only alternatives recurse, and
    /// their number is limited.
    fn add<const WORDS: usize>(&self, mut index: usize, steps: &mut StepSet<WORDS>) {
        while steps.insert(index) {
            match self.0.get(index) {
                Some(Step::AnyChars | Step::AnyRest) => index += 1,
                Some(Step::AnySegments) => {
                    steps.insert(index + 1);
                    index += 2;
                }
                Some(Step::Jump(target)) => index = *target,
                Some(Step::Fork(starts)) => {
                    for start in starts {
                        self.add(*start, steps);
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

/// A set of steps, by index.
struct StepSet<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> StepSet<WORDS> {
    const fn new() -> Self {
        Self([0; WORDS])
    }

    /// Adds a step; false if it was already present.
    fn insert(&mut self, index: usize) -> bool {
        let word = &mut self.0[index / 64];
        let before = *word;
        *word |= 1 << (index % 64);
        *word != before
    }

    fn contains(&self, index: usize) -> bool {
        self.0[index / 64] & (1 << (index % 64)) != 0
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn for_each(&self, mut visit: impl FnMut(usize)) {
        for (word_index, word) in self.0.iter().enumerate() {
            let mut rest = *word;
            while rest != 0 {
                visit(word_index * 64 + rest.trailing_zeros() as usize);
                rest &= rest - 1;
            }
        }
    }
}
