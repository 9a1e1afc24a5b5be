//! Evaluates a checked expression within a limit of steps. Memory use costs steps too, so memory is bounded.

use super::failure::Failure;
use super::node::{Arithmetic, Node, Order};
use super::scene::Scene;
use super::value::Value;
use std::borrow::Cow;
use std::cmp::Ordering;

/// Maximum number of steps of one evaluation: well under a millisecond.
const MAX_STEPS: usize = 20_000;

/// Bytes read per step.
const BYTES_A_STEP: usize = 32;

/// Bytes written per step.
const BYTES_WRITTEN_A_STEP: usize = 8;

/// One evaluation of one expression.
pub(super) struct Evaluation<'s, 'a> {
    pub(super) scene: &'s Scene<'a>,
    pub(super) variables: Vec<Value<'a>>,
    steps: usize,
}

impl<'s, 'a> Evaluation<'s, 'a> {
    pub(super) const fn new(scene: &'s Scene<'a>) -> Self {
        Self { scene, variables: Vec::new(), steps: MAX_STEPS }
    }

    /// Counts steps. After the limit every further step fails, so that `||` cannot absorb the failure.
    pub(super) fn charge(&mut self, steps: usize) -> Result<(), Failure> {
        let left = self.steps.checked_sub(steps);
        self.steps = left.unwrap_or(0);
        left.map(|_| ()).ok_or(Failure::TooCostly)
    }

    pub(super) fn charge_reading(&mut self, bytes: usize) -> Result<(), Failure> {
        self.charge(bytes / BYTES_A_STEP)
    }

    pub(super) fn charge_writing(&mut self, bytes: usize) -> Result<(), Failure> {
        self.charge(1 + bytes / BYTES_WRITTEN_A_STEP)
    }

    pub(super) fn value(&mut self, node: &'a Node) -> Result<Value<'a>, Failure> {
        self.charge(1)?;
        Ok(match node {
            Node::Bool(is_true) => Value::Bool(*is_true),
            Node::Int(number) => Value::Int(*number),
            Node::Double(number) => Value::Double(*number),
            Node::String(text) => Value::String(Cow::Borrowed(text)),
            Node::Timestamp(time) => Value::Timestamp(*time),
            Node::Null => Value::Null,
            Node::Field(field) => self.scene.value(*field)?,
            Node::Variable(at) => self.variable(*at)?,
            Node::List(nodes) => Value::List(nodes.iter().map(|node| self.value(node)).collect::<Result<_, _>>()?),
            Node::Index(operands) => self.index(&operands.0, &operands.1)?,
            Node::HasField(field) => Value::Bool(self.scene.has(*field)?),
            Node::HasRecord(record) => Value::Bool(self.scene.has_record(*record)),
            Node::HasKey(map, key) => Value::Bool(self.value(map)?.entry(key)?.is_some()),
            Node::Not(operand) => Value::Bool(!self.truth(operand)?),
            Node::Negate(operand) => self.negate(operand)?,
            Node::And(operands) => Value::Bool(self.both(operands, true)?),
            Node::Or(operands) => Value::Bool(!self.both(operands, false)?),
            Node::Conditional(operands) => {
                let (condition, yes, no) = &**operands;
                return if self.truth(condition)? { self.value(yes) } else { self.value(no) };
            }
            Node::Equals(operands) => Value::Bool(self.equal(operands)?),
            Node::Differs(operands) => Value::Bool(!self.equal(operands)?),
            Node::Order(order, operands) => Value::Bool(self.ordered(*order, operands)?),
            Node::Arithmetic(operation, operands) => self.arithmetic(*operation, operands)?,
            Node::In(operands) => Value::Bool(self.is_in(&operands.0, &operands.1)?),
            Node::Call(function, arguments) => self.call(*function, arguments)?,
            Node::Macro(each, operands) => self.evaluate_macro(*each, &operands.0, &operands.1)?,
        })
    }

    pub(super) fn truth(&mut self, node: &'a Node) -> Result<bool, Failure> {
        match self.value(node)? {
            Value::Bool(is_true) => Ok(is_true),
            _ => Err(Failure::WrongType),
        }
    }

    fn variable(&mut self, at: usize) -> Result<Value<'a>, Failure> {
        let weight = self.variables.get(at).ok_or(Failure::Absent)?.weight();
        self.charge(weight)?;
        self.variables.get(at).cloned().ok_or(Failure::Absent)
    }

    /// `&&`, or `||` as its negation. One side alone can decide the result, even if the other fails.
    fn both(&mut self, operands: &'a (Node, Node), wanted: bool) -> Result<bool, Failure> {
        let one = self.truth(&operands.0).map(|is_true| is_true == wanted);
        if one == Ok(false) {
            return Ok(false);
        }
        let other = self.truth(&operands.1).map(|is_true| is_true == wanted);
        if other == Ok(false) { other } else { one.and(other) }
    }

    fn index(&mut self, container: &'a Node, key: &'a Node) -> Result<Value<'a>, Failure> {
        let container = self.value(container)?;
        match (&container, self.value(key)?) {
            (map, Value::String(key)) if map.entries().is_some() => {
                self.charge_reading(key.len())?;
                map.entry(&key)?.ok_or(Failure::Absent)
            }
            (list, Value::Int(at)) if list.elements().is_some() => {
                self.charge(list.weight())?;
                list.element(usize::try_from(at).map_err(|_| Failure::Absent)?)
            }
            _ => Err(Failure::WrongType),
        }
    }

    fn negate(&mut self, operand: &'a Node) -> Result<Value<'a>, Failure> {
        match self.value(operand)? {
            Value::Int(number) => number.checked_neg().map(Value::Int).ok_or(Failure::Arithmetic),
            Value::Double(number) => Ok(Value::Double(-number)),
            _ => Err(Failure::WrongType),
        }
    }

    fn equal(&mut self, operands: &'a (Node, Node)) -> Result<bool, Failure> {
        let (one, other) = (self.value(&operands.0)?, self.value(&operands.1)?);
        self.same(&one, &other)
    }

    /// Whether two values are equal. Values of different types are not equal, except numbers. Maps cannot be
    /// compared.
    pub(super) fn same(&mut self, one: &Value<'a>, other: &Value<'a>) -> Result<bool, Failure> {
        self.charge(1)?;
        Ok(match (one, other) {
            (Value::String(one), Value::String(other)) => {
                self.charge_reading(one.len().min(other.len()))?;
                one == other
            }
            (Value::Bool(one), Value::Bool(other)) => one == other,
            (Value::Null, Value::Null) => true,
            _ if one.entries().is_some() || other.entries().is_some() => return Err(Failure::WrongType),
            _ => match (one.elements(), other.elements()) {
                (Some(count), Some(others)) if count == others => {
                    for at in 0..count {
                        if !self.same(&one.element(at)?, &other.element(at)?)? {
                            return Ok(false);
                        }
                    }
                    true
                }
                _ => one.order(other) == Some(Ordering::Equal),
            },
        })
    }

    fn ordered(&mut self, order: Order, operands: &'a (Node, Node)) -> Result<bool, Failure> {
        let (one, other) = (self.value(&operands.0)?, self.value(&operands.1)?);
        if let (Value::String(one), Value::String(other)) = (&one, &other) {
            self.charge_reading(one.len().min(other.len()))?;
        }
        let is_number = |value: &Value| matches!(value, Value::Int(_) | Value::Double(_));
        let Some(ordering) = one.order(&other) else {
            // NaN is neither less nor greater than any number.
            return if is_number(&one) && is_number(&other) { Ok(false) } else { Err(Failure::WrongType) };
        };
        Ok(match order {
            Order::Less => ordering.is_lt(),
            Order::LessOrEqual => ordering.is_le(),
            Order::Greater => ordering.is_gt(),
            Order::GreaterOrEqual => ordering.is_ge(),
        })
    }

    fn arithmetic(&mut self, operation: Arithmetic, operands: &'a (Node, Node)) -> Result<Value<'a>, Failure> {
        match (operation, self.value(&operands.0)?, self.value(&operands.1)?) {
            (Arithmetic::Add, Value::String(one), Value::String(other)) => {
                self.charge_writing(one.len() + other.len())?;
                Ok(Value::String(one + other))
            }
            (operation, Value::Int(one), Value::Int(other)) => match operation {
                Arithmetic::Add => one.checked_add(other),
                Arithmetic::Subtract => one.checked_sub(other),
                Arithmetic::Multiply => one.checked_mul(other),
                Arithmetic::Divide => one.checked_div(other),
                Arithmetic::Remainder => one.checked_rem(other),
            }
            .map(Value::Int)
            .ok_or(Failure::Arithmetic),
            (operation, Value::Double(one), Value::Double(other)) => Ok(Value::Double(match operation {
                Arithmetic::Add => one + other,
                Arithmetic::Subtract => one - other,
                Arithmetic::Multiply => one * other,
                Arithmetic::Divide => one / other,
                Arithmetic::Remainder => return Err(Failure::WrongType),
            })),
            _ => Err(Failure::WrongType),
        }
    }
}
