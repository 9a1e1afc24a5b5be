//! Checks the parser's tree and converts it into our own: names, functions and static types.

use super::InvalidExpression;
use super::field::{Field, Named, Record};
use super::function::{self, Function};
use super::kind::Kind;
use super::node::{Arithmetic, Macro, Node, Order};
use crate::model::facts::Needs;
use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, SelectExpr, operators};

/// Maximum depth of the tree, and thereby of the evaluation.
const MAX_DEPTH: usize = 64;

/// Maximum nesting of macros.
const MAX_VARIABLES: usize = 4;

/// The meaning of a subtree.
enum Lowered {
    Value(Node, Kind),
    Record(Record),
}

struct Lowering {
    variables: Vec<(String, Kind)>,
    needs: Needs,
    reads_request: bool,
    identifies: bool,
    depth: usize,
}

/// The names that a tree uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    /// The facts that it needs.
    pub(super) needs: Needs,
    /// Whether it uses the repo or branch of the request.
    pub(super) reads_request: bool,
    /// Whether groups or claims of the caller are among it.
    pub(super) identifies: bool,
}

/// Converts a tree; returns it with its static type and the names that it uses.
///
/// # Errors
/// The first construct that is not supported.
pub(super) fn lower(tree: &IdedExpr) -> Result<(Node, Kind, Names), InvalidExpression> {
    let mut lowering =
        Lowering { variables: Vec::new(), needs: Needs::default(), reads_request: false, identifies: false, depth: 0 };
    let (node, kind) = lowering.value(tree)?;
    let Lowering { needs, reads_request, identifies, .. } = lowering;
    Ok((node, kind, Names { needs, reads_request, identifies }))
}

fn refuse<T>(reason: &'static str) -> Result<T, InvalidExpression> {
    Err(InvalidExpression::new(reason))
}

impl Lowering {
    /// A subtree that must be a value.
    fn value(&mut self, tree: &IdedExpr) -> Result<(Node, Kind), InvalidExpression> {
        match self.part(tree)? {
            Lowered::Value(node, kind) => Ok((node, kind)),
            Lowered::Record(record) => {
                Err(InvalidExpression::new(format!("uses {} as a whole; name one of its fields", record.name())))
            }
        }
    }

    /// A subtree that must be a value of a type.
    fn typed(&mut self, tree: &IdedExpr, wanted: Kind, otherwise: &'static str) -> Result<Node, InvalidExpression> {
        let (node, kind) = self.value(tree)?;
        if kind.fits(wanted) { Ok(node) } else { refuse(otherwise) }
    }

    fn part(&mut self, tree: &IdedExpr) -> Result<Lowered, InvalidExpression> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return refuse("is more than 64 levels deep");
        }
        let lowered = match &tree.expr {
            Expr::Literal(literal) => literal_value(literal),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) if !select.test => self.select(select),
            Expr::List(list) if list.optional_indices.is_empty() => self.list(&list.elements),
            Expr::Call(call) => self.call(call),
            Expr::Map(_) | Expr::Struct(_) => refuse("builds a map or a message"),
            _ => refuse("uses a construct that is not in the language"),
        };
        self.depth -= 1;
        lowered
    }

    fn name(&mut self, name: &str) -> Result<Lowered, InvalidExpression> {
        let bound = self.variables.iter().rposition(|(variable, _)| variable == name);
        match bound.and_then(|at| Some((at, self.variables.get(at)?.1))) {
            Some((at, kind)) => Ok(Lowered::Value(Node::Variable(at), kind)),
            None => Record::variable(name).map(Lowered::Record),
        }
    }

    fn select(&mut self, select: &SelectExpr) -> Result<Lowered, InvalidExpression> {
        let key = Node::String(select.field.as_str().into());
        match self.part(&select.operand)? {
            Lowered::Record(record) => self.field(record, &select.field),
            Lowered::Value(map, kind) => match kind {
                Kind::StringMap | Kind::Map | Kind::Dyn => {
                    let element = kind.element().unwrap_or(Kind::Dyn);
                    Ok(Lowered::Value(Node::Index(Box::new((map, key))), element))
                }
                _ => refuse("uses a field of a value that has no fields"),
            },
        }
    }

    fn field(&mut self, record: Record, name: &str) -> Result<Lowered, InvalidExpression> {
        Ok(match record.field(name)? {
            Named::Record(record) => Lowered::Record(record),
            Named::Field(field) => {
                self.note(field);
                Lowered::Value(Node::Field(field), field.kind())
            }
        })
    }

    fn note(&mut self, field: Field) {
        self.need(field.needs());
        self.reads_request |= matches!(field, Field::Repo | Field::Branch);
        self.identifies |= matches!(field, Field::Groups | Field::Claims);
    }

    fn need(&mut self, needs: Needs) {
        self.needs = self.needs.and(needs);
    }

    fn list(&mut self, elements: &[IdedExpr]) -> Result<Lowered, InvalidExpression> {
        let mut nodes = Vec::with_capacity(elements.len());
        let mut all = Kind::Strings;
        for element in elements {
            let (node, kind) = self.value(element)?;
            nodes.push(node);
            if kind != Kind::String {
                all = Kind::List;
            }
        }
        Ok(Lowered::Value(Node::List(nodes.into()), all))
    }

    fn call(&mut self, call: &CallExpr) -> Result<Lowered, InvalidExpression> {
        let name = call.func_name.as_str();
        let (node, kind) = match (&call.target, call.args.as_slice()) {
            (None, [container, key]) if name == operators::INDEX => return self.index(container, key),
            (None, [one]) if name == operators::LOGICAL_NOT => {
                (Node::Not(Box::new(self.typed(one, Kind::Bool, "negates a value that is not a boolean")?)), Kind::Bool)
            }
            (None, [one]) if name == operators::NEGATE => self.negate(one)?,
            (None, [one]) if name == operators::HAS => (self.has(one)?, Kind::Bool),
            (None, [one, other]) if is_operator(name) => self.binary(name, one, other)?,
            (None, [condition, yes, no]) if name == operators::CONDITIONAL => {
                let condition = self.typed(condition, Kind::Bool, "has a condition that is not a boolean")?;
                let ((yes, one), (no, other)) = (self.value(yes)?, self.value(no)?);
                (Node::Conditional(Box::new((condition, yes, no))), one.or(other))
            }
            (Some(range), [variable, body]) if each(name).is_some() => {
                self.each(each(name).unwrap_or(Macro::All), range, variable, body)?
            }
            (target, arguments) => self.function(name, target.as_deref(), arguments)?,
        };
        Ok(Lowered::Value(node, kind))
    }

    /// `caller["namespace"]` is `caller.namespace`.
    fn index(&mut self, container: &IdedExpr, key: &IdedExpr) -> Result<Lowered, InvalidExpression> {
        let (container, kind) = match self.part(container)? {
            Lowered::Record(record) => {
                return match &key.expr {
                    Expr::Literal(LiteralValue::String(name)) => self.field(record, name.inner()),
                    _ => Err(InvalidExpression::new(format!("uses a computed field name of {}", record.name()))),
                };
            }
            Lowered::Value(node, kind) => (node, kind),
        };
        let wanted = match kind {
            Kind::StringMap | Kind::Map => Kind::String,
            Kind::Strings | Kind::List => Kind::Int,
            Kind::Dyn => Kind::Dyn,
            _ => return refuse("indexes a value that is neither a list nor a map"),
        };
        let key = self.typed(
            key,
            wanted,
            "indexes a list by something other than an integer, or a map by something other than a string",
        )?;
        let element = kind.element().unwrap_or(Kind::Dyn);
        Ok(Lowered::Value(Node::Index(Box::new((container, key))), element))
    }

    fn negate(&mut self, operand: &IdedExpr) -> Result<(Node, Kind), InvalidExpression> {
        let (node, kind) = self.value(operand)?;
        if kind.is_number() {
            Ok((Node::Negate(Box::new(node)), kind))
        } else {
            refuse("uses arithmetic on a value that is not a number")
        }
    }

    fn has(&mut self, operand: &IdedExpr) -> Result<Node, InvalidExpression> {
        let Expr::Select(select) = &operand.expr else {
            return refuse("uses has() on something other than a field");
        };
        Ok(match self.part(&select.operand)? {
            Lowered::Record(record) => match record.field(&select.field)? {
                Named::Record(record) => {
                    self.need(record.needs());
                    Node::HasRecord(record)
                }
                Named::Field(field) => {
                    self.identifies |= matches!(field, Field::Groups | Field::Claims);
                    self.need(field.needs());
                    Node::HasField(field)
                }
            },
            Lowered::Value(map, Kind::StringMap | Kind::Map | Kind::Dyn) => {
                Node::HasKey(Box::new(map), select.field.as_str().into())
            }
            Lowered::Value(..) => return refuse("uses a field of a value that has no fields"),
        })
    }

    fn binary(&mut self, name: &str, one: &IdedExpr, other: &IdedExpr) -> Result<(Node, Kind), InvalidExpression> {
        let ((one, left), (other, right)) = (self.value(one)?, self.value(other)?);
        let both = |kind: Kind| left.fits(kind) && right.fits(kind);
        let operands = Box::new((one, other));
        if let Some(operation) = arithmetic(name) {
            let kind = if left == Kind::Dyn { right } else { left };
            let adds_texts = operation == Arithmetic::Add && both(Kind::String);
            let is_whole = operation == Arithmetic::Remainder;
            return if adds_texts || both(Kind::Int) || (!is_whole && both(Kind::Double)) {
                Ok((Node::Arithmetic(operation, operands), kind))
            } else {
                refuse("uses arithmetic on values of incompatible types")
            };
        }
        let (node, fits) = match name {
            operators::LOGICAL_AND => (Node::And(operands), both(Kind::Bool)),
            operators::LOGICAL_OR => (Node::Or(operands), both(Kind::Bool)),
            operators::EQUALS => (Node::Equals(operands), comparable(left, right)),
            operators::NOT_EQUALS => (Node::Differs(operands), comparable(left, right)),
            operators::IN => (Node::In(operands), is_within(left, right)),
            other => {
                let numbers = left.is_number() && right.is_number();
                (Node::Order(order(other), operands), numbers || both(Kind::String) || both(Kind::Timestamp))
            }
        };
        if fits { Ok((node, Kind::Bool)) } else { refuse("compares or joins values of incompatible types") }
    }

    fn each(
        &mut self,
        each: Macro,
        range: &IdedExpr,
        variable: &IdedExpr,
        body: &IdedExpr,
    ) -> Result<(Node, Kind), InvalidExpression> {
        let (range, kind) = self.value(range)?;
        let Some(element) = kind.each() else {
            return refuse("iterates over a value that is neither a list nor a map");
        };
        let Expr::Ident(variable) = &variable.expr else { return refuse("has a macro without a variable") };
        if matches!(variable.as_str(), "caller" | "request") || variable.starts_with('.') {
            return refuse("uses a reserved name for a macro's variable");
        }
        if self.variables.len() == MAX_VARIABLES {
            return refuse("has more than 4 nested macros");
        }
        self.variables.push((variable.clone(), element));
        let (body, made) = self.value(body)?;
        self.variables.pop();
        let result = match each {
            Macro::Map => made.listed(),
            Macro::Filter => element.listed(),
            Macro::All | Macro::Exists | Macro::ExistsOne => Kind::Bool,
        };
        if each != Macro::Map && !made.fits(Kind::Bool) {
            return refuse("has a macro whose condition is not a boolean");
        }
        Ok((Node::Macro(each, Box::new((range, body))), result))
    }

    fn function(
        &mut self,
        name: &str,
        target: Option<&IdedExpr>,
        arguments: &[IdedExpr],
    ) -> Result<(Node, Kind), InvalidExpression> {
        let mut nodes = Vec::with_capacity(arguments.len() + 1);
        let mut kinds = Vec::with_capacity(arguments.len() + 1);
        for argument in target.into_iter().chain(arguments) {
            let (node, kind) = self.value(argument)?;
            nodes.push(node);
            kinds.push(kind);
        }
        let (function, kind) = function::find(name, target.is_some(), &kinds)?;
        if let (Function::Timestamp, [Node::String(text)]) = (function, nodes.as_slice()) {
            return match text.parse() {
                Ok(time) => Ok((Node::Timestamp(time), kind)),
                Err(_) => refuse("has a timestamp that is not RFC 3339"),
            };
        }
        Ok((Node::Call(function, nodes.into()), kind))
    }
}

fn literal_value(literal: &LiteralValue) -> Result<Lowered, InvalidExpression> {
    let (node, kind) = match literal {
        LiteralValue::Boolean(is_true) => (Node::Bool(*is_true.inner()), Kind::Bool),
        LiteralValue::Int(number) => (Node::Int(*number.inner()), Kind::Int),
        LiteralValue::Double(number) => (Node::Double(*number.inner()), Kind::Double),
        LiteralValue::String(text) => (Node::String(text.inner().into()), Kind::String),
        LiteralValue::Null => (Node::Null, Kind::Null),
        LiteralValue::Bytes(_) | LiteralValue::UInt(_) => return refuse("has bytes or an unsigned number"),
    };
    Ok(Lowered::Value(node, kind))
}

/// Only values of one type can be compared, so that a comparison that is always false is found at compile time.
fn comparable(one: Kind, other: Kind) -> bool {
    let is_map = |kind| matches!(kind, Kind::StringMap | Kind::Map);
    !is_map(one) && !is_map(other) && (one.fits(other) || (one.is_number() && other.is_number()))
}

fn is_within(element: Kind, container: Kind) -> bool {
    match container {
        Kind::Strings | Kind::StringMap | Kind::Map => element.fits(Kind::String),
        Kind::List | Kind::Dyn => true,
        _ => false,
    }
}

fn is_operator(name: &str) -> bool {
    use operators::{EQUALS, GREATER, GREATER_EQUALS, IN, LESS, LESS_EQUALS, LOGICAL_AND, LOGICAL_OR, NOT_EQUALS};
    let names = [EQUALS, GREATER, GREATER_EQUALS, IN, LESS, LESS_EQUALS, LOGICAL_AND, LOGICAL_OR, NOT_EQUALS];
    names.contains(&name) || arithmetic(name).is_some()
}

fn arithmetic(name: &str) -> Option<Arithmetic> {
    Some(match name {
        operators::ADD => Arithmetic::Add,
        operators::SUBSTRACT => Arithmetic::Subtract,
        operators::MULTIPLY => Arithmetic::Multiply,
        operators::DIVIDE => Arithmetic::Divide,
        operators::MODULO => Arithmetic::Remainder,
        _ => return None,
    })
}

fn order(name: &str) -> Order {
    match name {
        operators::LESS => Order::Less,
        operators::LESS_EQUALS => Order::LessOrEqual,
        operators::GREATER => Order::Greater,
        _ => Order::GreaterOrEqual,
    }
}

fn each(name: &str) -> Option<Macro> {
    Some(match name {
        operators::ALL => Macro::All,
        operators::EXISTS => Macro::Exists,
        operators::EXISTS_ONE => Macro::ExistsOne,
        operators::FILTER => Macro::Filter,
        operators::MAP => Macro::Map,
        _ => return None,
    })
}
