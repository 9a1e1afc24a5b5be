//! The `write` body of a secret: a JSON object whose strings may contain placeholders. Different values of the
//! placeholders of a string always give different strings.
//!
//! Values are encoded as in paths, so that a value cannot end a name in a comma-separated list or in a domain name. Between
//! two placeholders there must be a character that no encoded value contains: `{repo}.{branch}` would give the same text for
//! `a.b` and `c` as for `a` and `b.c`.

use super::placeholder::{Placeholder, PlainClaims, closing_brace};
use crate::document::{Fault, escape_pointer_token};
use crate::model::caller::Caller;
use crate::model::path_encoding;
use crate::model::request::Request;
use crate::model::write_body::WriteBody;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Maximum length of a body in the policy, as JSON in bytes.
const MAX_BYTES: usize = 16 << 10;
/// Maximum number of placeholders in a body. Limits its size after expansion: an encoded branch can be three times as long.
const MAX_PLACEHOLDERS: usize = 64;
/// Maximum nesting of maps and lists, including the body itself.
const MAX_DEPTH: usize = 4;

/// A body with placeholders.
#[derive(Debug, Clone)]
pub(super) struct WriteTemplate(Box<[(Box<str>, Node)]>);

#[derive(Debug, Clone)]
enum Node {
    /// A number or a boolean.
    Scalar(Value),
    Text(Box<[Piece]>),
    List(Box<[Node]>),
    Map(Box<[(Box<str>, Node)]>),
}

#[derive(Debug, Clone)]
enum Piece {
    Literal(Box<str>),
    Placeholder(Placeholder),
}

impl WriteTemplate {
    /// Compiles a body. If it is invalid, records all faults and returns `None`.
    pub(super) fn compile(
        raw: &BTreeMap<String, Value>,
        pointer: &str,
        plain_claims: PlainClaims,
        faults: &mut Vec<Fault>,
    ) -> Option<Self> {
        let before = faults.len();
        if serde_json::to_vec(raw).map_or(true, |text| text.len() > MAX_BYTES) {
            return Fault::record_none(faults, pointer, "must have at most 16384 bytes");
        }
        let mut compiler = Compiler { placeholder_count: 0, plain_claims, faults };
        let members = compiler.compile_members(raw.iter(), pointer, 1);
        if compiler.placeholder_count > MAX_PLACEHOLDERS {
            faults.push(Fault::new(pointer, "must have at most 64 placeholders"));
        }
        (faults.len() == before).then_some(Self(members))
    }

    /// The body with the values of this caller and request; `None` if a value is missing or cannot be encoded.
    pub(super) fn expand(&self, caller: &Caller, request: &Request) -> Option<WriteBody> {
        expand_members(&self.0, caller, request).map(WriteBody::new)
    }
}

impl Node {
    fn expand(&self, caller: &Caller, request: &Request) -> Option<Value> {
        Some(match self {
            Self::Scalar(value) => value.clone(),
            Self::Text(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Literal(literal) => text.push_str(literal),
                        Piece::Placeholder(placeholder) => placeholder.append_value(&mut text, caller, request)?,
                    }
                }
                Value::String(text)
            }
            Self::List(nodes) => {
                Value::Array(nodes.iter().map(|node| node.expand(caller, request)).collect::<Option<_>>()?)
            }
            Self::Map(nodes) => Value::Object(expand_members(nodes, caller, request)?),
        })
    }
}

fn expand_members(nodes: &[(Box<str>, Node)], caller: &Caller, request: &Request) -> Option<Map<String, Value>> {
    nodes.iter().map(|(name, node)| Some((name.to_string(), node.expand(caller, request)?))).collect()
}

struct Compiler<'f> {
    placeholder_count: usize,
    plain_claims: PlainClaims,
    faults: &'f mut Vec<Fault>,
}

impl Compiler<'_> {
    fn compile_members<'v>(
        &mut self,
        raw: impl Iterator<Item = (&'v String, &'v Value)>,
        pointer: &str,
        depth: usize,
    ) -> Box<[(Box<str>, Node)]> {
        raw.filter_map(|(name, value)| {
            let node = self.compile_node(value, &format!("{pointer}/{}", escape_pointer_token(name)), depth)?;
            Some((name.as_str().into(), node))
        })
        .collect()
    }

    fn compile_node(&mut self, value: &Value, pointer: &str, depth: usize) -> Option<Node> {
        if depth == MAX_DEPTH && (value.is_array() || value.is_object()) {
            return Fault::record_none(self.faults, pointer, "must have at most 4 maps and lists within each other");
        }
        match value {
            Value::Null => Fault::record_none(self.faults, pointer, "must not be null"),
            Value::Bool(_) | Value::Number(_) => Some(Node::Scalar(value.clone())),
            Value::String(text) => match parse_pieces(text, self.plain_claims) {
                Ok(pieces) => {
                    self.placeholder_count +=
                        pieces.iter().filter(|piece| matches!(piece, Piece::Placeholder(_))).count();
                    Some(Node::Text(pieces.into()))
                }
                Err(reason) => Fault::record_none(self.faults, pointer, reason),
            },
            Value::Array(values) => {
                let nodes = values.iter().enumerate();
                let nodes = nodes
                    .filter_map(|(index, value)| self.compile_node(value, &format!("{pointer}/{index}"), depth + 1));
                Some(Node::List(nodes.collect()))
            }
            Value::Object(members) => Some(Node::Map(self.compile_members(members.iter(), pointer, depth + 1))),
        }
    }
}

fn parse_pieces(text: &str, plain_claims: PlainClaims) -> Result<Vec<Piece>, &'static str> {
    const STRAY_BRACE_DETAIL: &str = "braces hold a placeholder, such as {repo}";
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(brace) = rest.find(['{', '}']) {
        let (literal, braced) = rest.split_at(brace);
        let end = braced.starts_with('{').then(|| closing_brace(braced)).flatten().ok_or(STRAY_BRACE_DETAIL)?;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        pieces.push(Piece::Placeholder(Placeholder::parse(&braced[1..end], plain_claims)?));
        rest = &braced[end + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.into()));
    }
    check_separators(&pieces).map(|()| pieces)
}

/// Checks that a string determines the values of all its placeholders.
fn check_separators(pieces: &[Piece]) -> Result<(), &'static str> {
    let placeholders = || pieces.iter().filter(|piece| matches!(piece, Piece::Placeholder(_)));
    if placeholders().count() > 1
        && placeholders().any(|piece| matches!(piece, Piece::Placeholder(Placeholder::Path(_))))
    {
        return Err("a |path placeholder must be the only one of its text");
    }
    let is_separator = |piece: &Piece| matches!(piece, Piece::Literal(text) if text.chars().any(|c| !path_encoding::is_encoded_char(c)));
    let mut separated = true;
    for piece in pieces {
        match piece {
            Piece::Placeholder(_) if !separated => {
                return Err(
                    "between two placeholders there must be a character other than a letter, a digit or one of \
                            . _ ~ = -, so that no two values give one text",
                );
            }
            Piece::Placeholder(_) => separated = false,
            Piece::Literal(_) => separated |= is_separator(piece),
        }
    }
    Ok(())
}
