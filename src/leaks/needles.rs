//! Everything that is looked for, made ready to be looked for at once.

use super::forms::{self, Form};
use crate::model::secret::SecretValue;
use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, BuildError, dfa};
use std::collections::HashMap;
use zeroize::Zeroizing;

/// So much of a text the machine knows; the rest is compared when that was seen. It bounds the machine.
const ANCHOR: usize = 16;
/// A table for each state is the fastest machine, and for more texts than these too large a one.
const MOST_IN_A_TABLE: usize = 4000;

/// The texts, and the machine that finds their beginnings.
pub struct Needles {
    pub(super) texts: Vec<Text>,
    pub(super) machine: Machine,
    /// How many bytes of some text's beginning a state has seen.
    depths: HashMap<StateID, usize>,
    names: Vec<String>,
}

/// A text that is looked for.
pub(super) struct Text {
    /// Whose value it is, in `names`.
    pub name: usize,
    pub form: Form,
    pub bytes: Zeroizing<Vec<u8>>,
}

/// What finds the beginnings.
pub(super) enum Machine {
    /// One step a byte.
    Table(dfa::DFA),
    /// Somewhat more, in little memory.
    Links(NFA),
}

impl Needles {
    /// Takes named values. Those of fewer than `least` bytes are not looked for, and named in the second part: they are
    /// found everywhere by chance.
    ///
    /// # Errors
    /// When there are more texts than the machine can count, which no bundle has.
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

    /// How many values are looked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether nothing is looked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// How many of the last bytes may be the beginning of a text.
    pub(super) fn depth(&self, state: StateID) -> usize {
        self.depths.get(&state).copied().unwrap_or(0)
    }
}

impl Text {
    /// What the machine knows of it.
    pub(super) fn anchor(&self) -> &[u8] {
        &self.bytes[..self.bytes.len().min(ANCHOR)]
    }
}

impl Machine {
    fn new(texts: &[Text]) -> Result<Self, BuildError> {
        let anchors = texts.iter().map(Text::anchor);
        if texts.len() <= MOST_IN_A_TABLE {
            dfa::DFA::builder().prefilter(false).build(anchors).map(Self::Table)
        } else {
            NFA::builder().prefilter(false).build(anchors).map(Self::Links)
        }
    }

    /// Where every search begins.
    pub(super) fn start(&self) -> StateID {
        match self {
            Self::Table(table) => start(table),
            Self::Links(links) => start(links),
        }
    }
}

/// A machine that is built for unanchored searches, as ours are, has this state.
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
