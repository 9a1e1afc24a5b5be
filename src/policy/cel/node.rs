//! The tree of a checked expression.

use super::field::{Field, Record};
use super::function::Function;
use jiff::Timestamp;

/// A subexpression.
#[derive(Debug)]
pub(super) enum Node {
    Bool(bool),
    Int(i64),
    Double(f64),
    String(Box<str>),
    Timestamp(Timestamp),
    Null,
    /// `caller.namespace`.
    Field(Field),
    /// The variable of a macro, by the nesting level of the macro; the outermost macro has 0.
    Variable(usize),
    /// `[a, b]`.
    List(Box<[Node]>),
    /// `map.key` and `map["key"]`, `list[1]`.
    Index(Box<(Node, Node)>),
    /// `has(record.field)`.
    HasField(Field),
    /// `has(caller.pod)`.
    HasRecord(Record),
    /// `has(map.key)`.
    HasKey(Box<Node>, Box<str>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<(Node, Node)>),
    Or(Box<(Node, Node)>),
    /// `a ? b : c`.
    Conditional(Box<(Node, Node, Node)>),
    Equals(Box<(Node, Node)>),
    NotEquals(Box<(Node, Node)>),
    Comparison(Comparison, Box<(Node, Node)>),
    Arithmetic(Arithmetic, Box<(Node, Node)>),
    In(Box<(Node, Node)>),
    Call(Function, Box<[Node]>),
    /// A macro over a list or the keys of a map.
    Macro(Macro, Box<(Node, Node)>),
}

/// A comparison of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// An arithmetic operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A macro, which evaluates its body for each element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Macro {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}
