//! Checks names, functions and static types of the parser's tree, and converts it into a tree of [`Node`]s.

use super::InvalidExpression;
use super::field::{Field, Member, Record};
use super::function::{self, Function};
use super::kind::Kind;
use super::node::{Arithmetic, Comparison, Macro, Node};
use crate::model::facts::Needs;
use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, SelectExpr, operators};

/// Maximum depth of the tree, and so of the recursion in evaluation.
const MAX_DEPTH: usize = 64;

/// Maximum nesting of macros, each of which has one variable.
const MAX_VARIABLES: usize = 4;

/// A converted subtree.
enum Lowered {
    Value(Node, Kind),
    Record(Record),
}

struct Lowering {
    variables: Vec<(String, Kind)>,
    needs: Needs,
    reads_request: bool,
    reads_groups_or_claims: bool,
    depth: usize,
}

/// Which names a tree uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct UsedNames {
    /// The facts that it needs.
    pub(super) needs: Needs,
    /// Whether it uses the repo or branch of the request.
    pub(super) reads_request: bool,
    /// Whether it uses groups or claims of the caller.
    pub(super) reads_groups_or_claims: bool,
}

/// Converts a tree. Returns the converted tree, its static type, and which names it uses.
///
/// # Errors
/// The reason why the first unsupported construct is refused.
pub(super) fn lower(tree: &IdedExpr) -> Result<(Node, Kind, UsedNames), InvalidExpression> {
    let mut lowering = Lowering {
        variables: Vec::new(),
        needs: Needs::default(),
        reads_request: false,
        reads_groups_or_claims: false,
        depth: 0,
    };
    let (node, kind) = lowering.lower_value(tree)?;
    let Lowering { needs, reads_request, reads_groups_or_claims, .. } = lowering;
    Ok((node, kind, UsedNames { needs, reads_request, reads_groups_or_claims }))
}

fn refuse<T>(reason: &'static str) -> Result<T, InvalidExpression> {
    Err(InvalidExpression::new(reason))
}

impl Lowering {
    /// Converts a subtree that must be a value.
    fn lower_value(&mut self, tree: &IdedExpr) -> Result<(Node, Kind), InvalidExpression> {
        match self.lower_any(tree)? {
            Lowered::Value(node, kind) => Ok((node, kind)),
            Lowered::Record(record) => {
                Err(InvalidExpression::new(format!("uses {} as a whole; name one of its fields", record.name())))
            }
        }
    }

    /// Converts a subtree that must be a value of the wanted type; `reason` is the error otherwise.
    fn lower_typed(&mut self, tree: &IdedExpr, wanted: Kind, reason: &'static str) -> Result<Node, InvalidExpression> {
        let (node, kind) = self.lower_value(tree)?;
        if kind.fits(wanted) { Ok(node) } else { refuse(reason) }
    }

    fn lower_any(&mut self, tree: &IdedExpr) -> Result<Lowered, InvalidExpression> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return refuse("is more than 64 levels deep");
        }
        let lowered = match &tree.expr {
            Expr::Literal(literal) => lower_literal(literal),
            Expr::Ident(name) => self.lower_name(name),
            Expr::Select(select) if !select.test => self.lower_select(select),
            Expr::List(list) if list.optional_indices.is_empty() => self.lower_list(&list.elements),
            Expr::Call(call) => self.lower_call(call),
            Expr::Map(_) | Expr::Struct(_) => refuse("builds a map or a message"),
            _ => refuse("uses a construct that is not in the language"),
        };
        self.depth -= 1;
        lowered
    }

    fn lower_name(&mut self, name: &str) -> Result<Lowered, InvalidExpression> {
        let bound = self.variables.iter().rposition(|(variable, _)| variable == name);
        match bound.and_then(|index| Some((index, self.variables.get(index)?.1))) {
            Some((index, kind)) => Ok(Lowered::Value(Node::Variable(index), kind)),
            None => Record::from_variable(name).map(Lowered::Record),
        }
    }

    fn lower_select(&mut self, select: &SelectExpr) -> Result<Lowered, InvalidExpression> {
        let key = Node::String(select.field.as_str().into());
        match self.lower_any(&select.operand)? {
            Lowered::Record(record) => self.lower_field(record, &select.field),
            Lowered::Value(map, kind) => match kind {
                Kind::StringMap | Kind::Map | Kind::Dyn => {
                    let element = kind.element().unwrap_or(Kind::Dyn);
                    Ok(Lowered::Value(Node::Index(Box::new((map, key))), element))
                }
                _ => refuse("uses a field of a value that has no fields"),
            },
        }
    }

    fn lower_field(&mut self, record: Record, name: &str) -> Result<Lowered, InvalidExpression> {
        Ok(match record.member(name)? {
            Member::Record(record) => Lowered::Record(record),
            Member::Field(field) => {
                self.add_use(field);
                Lowered::Value(Node::Field(field), field.kind())
            }
        })
    }

    fn add_use(&mut self, field: Field) {
        self.add_needs(field.needs());
        self.reads_request |= matches!(field, Field::Repo | Field::Branch);
        self.reads_groups_or_claims |= matches!(field, Field::Groups | Field::Claims);
    }

    fn add_needs(&mut self, needs: Needs) {
        self.needs = self.needs.union(needs);
    }

    fn lower_list(&mut self, elements: &[IdedExpr]) -> Result<Lowered, InvalidExpression> {
        let mut nodes = Vec::with_capacity(elements.len());
        let mut list_kind = Kind::Strings;
        for element in elements {
            let (node, kind) = self.lower_value(element)?;
            nodes.push(node);
            if kind != Kind::String {
                list_kind = Kind::List;
            }
        }
        Ok(Lowered::Value(Node::List(nodes.into()), list_kind))
    }

    fn lower_call(&mut self, call: &CallExpr) -> Result<Lowered, InvalidExpression> {
        let name = call.func_name.as_str();
        let (node, kind) = match (&call.target, call.args.as_slice()) {
            (None, [container, key]) if name == operators::INDEX => return self.lower_index(container, key),
            (None, [operand]) if name == operators::LOGICAL_NOT => (
                Node::Not(Box::new(self.lower_typed(operand, Kind::Bool, "negates a value that is not a boolean")?)),
                Kind::Bool,
            ),
            (None, [operand]) if name == operators::NEGATE => self.lower_negation(operand)?,
            (None, [operand]) if name == operators::HAS => (self.lower_has(operand)?, Kind::Bool),
            (None, [one, other]) if is_operator(name) => self.lower_binary(name, one, other)?,
            (None, [condition, yes, no]) if name == operators::CONDITIONAL => {
                let condition = self.lower_typed(condition, Kind::Bool, "has a condition that is not a boolean")?;
                let ((yes, yes_kind), (no, no_kind)) = (self.lower_value(yes)?, self.lower_value(no)?);
                (Node::Conditional(Box::new((condition, yes, no))), yes_kind.common_type(no_kind))
            }
            (Some(range), [variable, body]) if macro_operation(name).is_some() => {
                self.lower_macro(macro_operation(name).unwrap_or(Macro::All), range, variable, body)?
            }
            (target, arguments) => self.lower_function(name, target.as_deref(), arguments)?,
        };
        Ok(Lowered::Value(node, kind))
    }

    /// Converts `container[key]`. `caller["namespace"]` is the same as `caller.namespace`.
    fn lower_index(&mut self, container: &IdedExpr, key: &IdedExpr) -> Result<Lowered, InvalidExpression> {
        let (container, kind) = match self.lower_any(container)? {
            Lowered::Record(record) => {
                return match &key.expr {
                    Expr::Literal(LiteralValue::String(name)) => self.lower_field(record, name.inner()),
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
        let key = self.lower_typed(
            key,
            wanted,
            "indexes a list by something other than an integer, or a map by something other than a string",
        )?;
        let element = kind.element().unwrap_or(Kind::Dyn);
        Ok(Lowered::Value(Node::Index(Box::new((container, key))), element))
    }

    fn lower_negation(&mut self, operand: &IdedExpr) -> Result<(Node, Kind), InvalidExpression> {
        let (node, kind) = self.lower_value(operand)?;
        if kind.may_be_number() {
            Ok((Node::Negate(Box::new(node)), kind))
        } else {
            refuse("uses arithmetic on a value that is not a number")
        }
    }

    fn lower_has(&mut self, operand: &IdedExpr) -> Result<Node, InvalidExpression> {
        let Expr::Select(select) = &operand.expr else {
            return refuse("uses has() on something other than a field");
        };
        Ok(match self.lower_any(&select.operand)? {
            Lowered::Record(record) => match record.member(&select.field)? {
                Member::Record(record) => {
                    self.add_needs(record.needs());
                    Node::HasRecord(record)
                }
                Member::Field(field) => {
                    self.reads_groups_or_claims |= matches!(field, Field::Groups | Field::Claims);
                    self.add_needs(field.needs());
                    Node::HasField(field)
                }
            },
            Lowered::Value(map, Kind::StringMap | Kind::Map | Kind::Dyn) => {
                Node::HasKey(Box::new(map), select.field.as_str().into())
            }
            Lowered::Value(..) => return refuse("uses a field of a value that has no fields"),
        })
    }

    fn lower_binary(
        &mut self,
        name: &str,
        one: &IdedExpr,
        other: &IdedExpr,
    ) -> Result<(Node, Kind), InvalidExpression> {
        let ((one, left), (other, right)) = (self.lower_value(one)?, self.lower_value(other)?);
        let both = |kind: Kind| left.fits(kind) && right.fits(kind);
        let operands = Box::new((one, other));
        if let Some(operation) = arithmetic(name) {
            let kind = if left == Kind::Dyn { right } else { left };
            let joins_strings = operation == Arithmetic::Add && both(Kind::String);
            let is_remainder = operation == Arithmetic::Remainder;
            return if joins_strings || both(Kind::Int) || (!is_remainder && both(Kind::Double)) {
                Ok((Node::Arithmetic(operation, operands), kind))
            } else {
                refuse("uses arithmetic on values of incompatible types")
            };
        }
        let (node, fits) = match name {
            operators::LOGICAL_AND => (Node::And(operands), both(Kind::Bool)),
            operators::LOGICAL_OR => (Node::Or(operands), both(Kind::Bool)),
            operators::EQUALS => (Node::Equals(operands), can_compare(left, right)),
            operators::NOT_EQUALS => (Node::NotEquals(operands), can_compare(left, right)),
            operators::IN => (Node::In(operands), can_contain(right, left)),
            other => {
                let numbers = left.may_be_number() && right.may_be_number();
                (Node::Comparison(comparison(other), operands), numbers || both(Kind::String) || both(Kind::Timestamp))
            }
        };
        if fits { Ok((node, Kind::Bool)) } else { refuse("compares or joins values of incompatible types") }
    }

    fn lower_macro(
        &mut self,
        operation: Macro,
        range: &IdedExpr,
        variable: &IdedExpr,
        body: &IdedExpr,
    ) -> Result<(Node, Kind), InvalidExpression> {
        let (range, kind) = self.lower_value(range)?;
        let Some(element) = kind.macro_variable() else {
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
        let (body, body_kind) = self.lower_value(body)?;
        self.variables.pop();
        let result = match operation {
            Macro::Map => body_kind.list_type(),
            Macro::Filter => element.list_type(),
            Macro::All | Macro::Exists | Macro::ExistsOne => Kind::Bool,
        };
        if operation != Macro::Map && !body_kind.fits(Kind::Bool) {
            return refuse("has a macro whose condition is not a boolean");
        }
        Ok((Node::Macro(operation, Box::new((range, body))), result))
    }

    fn lower_function(
        &mut self,
        name: &str,
        target: Option<&IdedExpr>,
        arguments: &[IdedExpr],
    ) -> Result<(Node, Kind), InvalidExpression> {
        let mut nodes = Vec::with_capacity(arguments.len() + 1);
        let mut kinds = Vec::with_capacity(arguments.len() + 1);
        for argument in target.into_iter().chain(arguments) {
            let (node, kind) = self.lower_value(argument)?;
            nodes.push(node);
            kinds.push(kind);
        }
        let (function, kind) = function::resolve(name, target.is_some(), &kinds)?;
        if let (Function::Timestamp, [Node::String(text)]) = (function, nodes.as_slice()) {
            return match text.parse() {
                Ok(time) => Ok((Node::Timestamp(time), kind)),
                Err(_) => refuse("has a timestamp that is not RFC 3339"),
            };
        }
        Ok((Node::Call(function, nodes.into()), kind))
    }
}

fn lower_literal(literal: &LiteralValue) -> Result<Lowered, InvalidExpression> {
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

/// Whether `==` and `!=` support these types: both are one type, or both are numbers, and neither is a map. So a comparison
/// that is always false is a compile error.
fn can_compare(one: Kind, other: Kind) -> bool {
    let is_map = |kind| matches!(kind, Kind::StringMap | Kind::Map);
    !is_map(one) && !is_map(other) && (one.fits(other) || (one.may_be_number() && other.may_be_number()))
}

fn can_contain(container: Kind, element: Kind) -> bool {
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

fn comparison(name: &str) -> Comparison {
    match name {
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        _ => Comparison::GreaterOrEqual,
    }
}

fn macro_operation(name: &str) -> Option<Macro> {
    Some(match name {
        operators::ALL => Macro::All,
        operators::EXISTS => Macro::Exists,
        operators::EXISTS_ONE => Macro::ExistsOne,
        operators::FILTER => Macro::Filter,
        operators::MAP => Macro::Map,
        _ => return None,
    })
}
