//! All search texts, compiled into one automaton.

use super::forms::{self, Form};
use crate::model::secret::SecretValue;
use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, BuildError, dfa};
use std::collections::HashMap;
use zeroize::Zeroizing;

/// The automaton contains this many leading bytes of each text; the rest is compared after a match. This bounds
/// its size.
const ANCHOR: usize = 16;
/// A DFA is the fastest automaton, but above this number of texts it is too large.
const MAX_TABLE_NEEDLES: usize = 4000;

/// The texts, and the automaton that finds their beginnings.
pub struct Needles {
    pub(super) texts: Vec<Text>,
    pub(super) machine: Machine,
    /// For each state, the number of bytes of a text's beginning that it has matched.
    depths: HashMap<StateID, usize>,
    names: Vec<String>,
}

/// A search text.
pub(super) struct Text {
    /// Index in `names` of the value that it is a form of.
    pub name: usize,
    pub form: Form,
    pub bytes: Zeroizing<Vec<u8>>,
}

/// The automaton.
pub(super) enum Machine {
    /// A DFA: one step per byte.
    Table(dfa::DFA),
    /// An NFA: slower, with little memory.
    Links(NFA),
}

impl Needles {
    /// Compiles named values. Values shorter than `least` bytes match by chance; they are not searched, and their
    /// names are returned in the second part.
    ///
    /// # Errors
    /// More texts than the automaton can number; no bundle has as many.
    pub fn new<'v>(
        values: impl IntoIterator<Item = (&'v str, &'v SecretValue)>,
        least: usize,
        least_line: usize,
    ) -> Result<(Self, Vec<String>), BuildError> {
        let (mut names, mut texts, mut short) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value) in values {
            #[expect(clippy::disallowed_methods, reason = "to know a value where it shows, it is looked for")]
            let value = value.expose_secret().trim();
            if value.len() < least {
                short.push(name.to_owned());
                continue;
            }
            let written = forms::of(value, least_line).into_iter();
            texts.extend(written.map(|(form, bytes)| Text { name: names.len(), form, bytes }));
            names.push(name.to_owned());
        }
        let machine = Machine::new(&texts)?;
        let mut needles = Self { depths: HashMap::new(), texts, machine, names };
        needles.depths = match &needles.machine {
            Machine::Table(table) => depths(table, &needles.texts),
            Machine::Links(links) => depths(links, &needles.texts),
        };
        Ok((needles, short))
    }

    /// The name of the value that a text is a form of, and the form.
    #[must_use]
    pub fn describe(&self, text: usize) -> (&str, Form) {
        let text = &self.texts[text];
        (&self.names[text.name], text.form)
    }

    /// The number of values searched for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether no values are searched for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// How many of the last bytes may begin a text.
    pub(super) fn depth(&self, state: StateID) -> usize {
        self.depths.get(&state).copied().unwrap_or(0)
    }
}

impl Text {
    /// The leading bytes that the automaton contains.
    pub(super) fn anchor(&self) -> &[u8] {
        &self.bytes[..self.bytes.len().min(ANCHOR)]
    }
}

impl Machine {
    fn new(texts: &[Text]) -> Result<Self, BuildError> {
        let anchors = texts.iter().map(Text::anchor);
        if texts.len() <= MAX_TABLE_NEEDLES {
            dfa::DFA::builder().prefilter(false).build(anchors).map(Self::Table)
        } else {
            NFA::builder().prefilter(false).build(anchors).map(Self::Links)
        }
    }

    /// The initial state.
    pub(super) fn start(&self) -> StateID {
        match self {
            Self::Table(table) => start(table),
            Self::Links(links) => start(links),
        }
    }
}

/// Our automata are built for unanchored searches and therefore have this state.
fn start(machine: &impl Automaton) -> StateID {
    machine.start_state(Anchored::No).unwrap_or_default()
}

fn depths(machine: &impl Automaton, texts: &[Text]) -> HashMap<StateID, usize> {
    let mut depths = HashMap::new();
    for text in texts {
        let mut state = start(machine);
        for (index, byte) in text.anchor().iter().enumerate() {
            state = machine.next_state(Anchored::No, state, *byte);
            depths.insert(state, index + 1);
        }
    }
    depths
}
