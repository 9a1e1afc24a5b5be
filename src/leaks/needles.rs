//! All byte strings to search for (needles), compiled into one automaton.

use super::forms::{self, Form};
use crate::model::secret::SecretValue;
use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, BuildError, dfa};
use std::collections::HashMap;
use zeroize::Zeroizing;

/// Maximum length of the prefix of a needle, for which the automaton searches. This bounds the size of the automaton. The rest of a
/// needle is compared after the prefix was found.
const PREFIX_BYTES: usize = 16;
/// Maximum number of needles for a DFA, which is faster than an NFA. For more needles a DFA would be too large, so an NFA is used.
const MAX_DFA_NEEDLES: usize = 4000;

/// The needles, and the automaton that finds their first bytes.
pub struct Needles {
    pub(super) list: Vec<Needle>,
    pub(super) automaton: NeedleAutomaton,
    /// For each state, the number of bytes of a prefix that have matched so far.
    partial_lengths: HashMap<StateID, usize>,
    names: Vec<String>,
}

/// A byte string to search for.
pub(super) struct Needle {
    /// The index in `names` of the value that this byte string encodes.
    pub name_index: usize,
    pub form: Form,
    pub bytes: Zeroizing<Vec<u8>>,
}

/// The automaton that finds the first bytes of all needles.
pub(super) enum NeedleAutomaton {
    /// One step per byte.
    Dfa(dfa::DFA),
    /// Slower, but with less memory.
    Nfa(NFA),
}

impl Needles {
    /// Compiles named values. Values of fewer than `min_bytes` bytes are not searched for, because they would match by chance. The
    /// names of those values are the second result. Of a value that is base64, as the format `json` has the values of a policy with
    /// `encoding: base64`, the decoded bytes are searched for too.
    ///
    /// # Errors
    /// There are more needles than the automaton can number, which no bundle reaches.
    pub fn new<'v>(
        values: impl IntoIterator<Item = (&'v str, &'v SecretValue)>,
        min_bytes: usize,
        min_line_bytes: usize,
    ) -> Result<(Self, Vec<String>), BuildError> {
        let (mut names, mut needles, mut short) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value) in values {
            #[expect(clippy::disallowed_methods, reason = "the value is searched for")]
            let value = value.expose_secret().trim();
            if value.len() < min_bytes {
                short.push(name.to_owned());
                continue;
            }
            let mut encoded = forms::encode_all(value, min_line_bytes);
            forms::add_decoded(value, min_bytes, min_line_bytes, &mut encoded);
            needles.extend(encoded.into_iter().map(|(form, bytes)| Needle { name_index: names.len(), form, bytes }));
            names.push(name.to_owned());
        }
        let automaton = NeedleAutomaton::new(&needles)?;
        let mut compiled = Self { partial_lengths: HashMap::new(), list: needles, automaton, names };
        compiled.partial_lengths = match &compiled.automaton {
            NeedleAutomaton::Dfa(dfa) => partial_lengths(dfa, &compiled.list),
            NeedleAutomaton::Nfa(nfa) => partial_lengths(nfa, &compiled.list),
        };
        Ok((compiled, short))
    }

    /// The name of the value that the needle with this index encodes, and the encoding.
    #[must_use]
    pub fn describe(&self, index: usize) -> (&str, Form) {
        let needle = &self.list[index];
        (&self.names[needle.name_index], needle.form)
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

    /// How many of the last bytes of the input may be the start of a prefix.
    pub(super) fn partial_length(&self, state: StateID) -> usize {
        self.partial_lengths.get(&state).copied().unwrap_or(0)
    }
}

impl Needle {
    /// The leading bytes, for which the automaton searches.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.bytes[..self.bytes.len().min(PREFIX_BYTES)]
    }
}

impl NeedleAutomaton {
    fn new(needles: &[Needle]) -> Result<Self, BuildError> {
        let prefixes = needles.iter().map(Needle::prefix);
        if needles.len() <= MAX_DFA_NEEDLES {
            dfa::DFA::builder().prefilter(false).build(prefixes).map(Self::Dfa)
        } else {
            NFA::builder().prefilter(false).build(prefixes).map(Self::Nfa)
        }
    }

    /// The initial state.
    pub(super) fn start(&self) -> StateID {
        match self {
            Self::Dfa(dfa) => start(dfa),
            Self::Nfa(nfa) => start(nfa),
        }
    }
}

/// The start state of an unanchored search, for which the automata are built.
fn start(automaton: &impl Automaton) -> StateID {
    automaton.start_state(Anchored::No).unwrap_or_default()
}

fn partial_lengths(automaton: &impl Automaton, needles: &[Needle]) -> HashMap<StateID, usize> {
    let mut lengths = HashMap::new();
    for needle in needles {
        let mut state = start(automaton);
        for (index, byte) in needle.prefix().iter().enumerate() {
            state = automaton.next_state(Anchored::No, state, *byte);
            lengths.insert(state, index + 1);
        }
    }
    lengths
}
