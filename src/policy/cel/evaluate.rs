//! Evaluates a checked expression within a limit of steps. Memory use costs steps too, so memory is bounded.

use super::evaluation_error::EvaluationError;
use super::inputs::Inputs;
use super::node::{Arithmetic, Comparison, Node};
use super::value::Value;
use std::borrow::Cow;
use std::cmp::Ordering;

/// Maximum number of steps of one evaluation. They take well under a millisecond.
const MAX_STEPS: usize = 20_000;

/// Number of bytes whose reading costs one step.
const BYTES_READ_PER_STEP: usize = 32;

/// Number of bytes whose writing costs one step.
const BYTES_WRITTEN_PER_STEP: usize = 8;

/// The state of one evaluation of one expression.
pub(super) struct Evaluator<'s, 'a> {
    pub(super) inputs: &'s Inputs<'a>,
    pub(super) variables: Vec<Value<'a>>,
    remaining_steps: usize,
}

impl<'s, 'a> Evaluator<'s, 'a> {
    pub(super) const fn new(inputs: &'s Inputs<'a>) -> Self {
        Self { inputs, variables: Vec::new(), remaining_steps: MAX_STEPS }
    }

    /// Counts steps. Beyond the limit every further step fails, so that `||` cannot ignore the error.
    pub(super) fn charge(&mut self, steps: usize) -> Result<(), EvaluationError> {
        let remaining = self.remaining_steps.checked_sub(steps);
        self.remaining_steps = remaining.unwrap_or(0);
        remaining.map(|_| ()).ok_or(EvaluationError::TooManySteps)
    }

    pub(super) fn charge_read(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        self.charge(bytes / BYTES_READ_PER_STEP)
    }

    pub(super) fn charge_written(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        self.charge(1 + bytes / BYTES_WRITTEN_PER_STEP)
    }

    pub(super) fn evaluate(&mut self, node: &'a Node) -> Result<Value<'a>, EvaluationError> {
        self.charge(1)?;
        Ok(match node {
            Node::Bool(is_true) => Value::Bool(*is_true),
            Node::Int(number) => Value::Int(*number),
            Node::Double(number) => Value::Double(*number),
            Node::String(text) => Value::String(Cow::Borrowed(text)),
            Node::Timestamp(time) => Value::Timestamp(*time),
            Node::Null => Value::Null,
            Node::Field(field) => self.inputs.field_value(*field)?,
            Node::Variable(index) => self.variable(*index)?,
            Node::List(nodes) => Value::List(nodes.iter().map(|node| self.evaluate(node)).collect::<Result<_, _>>()?),
            Node::Index(operands) => self.evaluate_index(&operands.0, &operands.1)?,
            Node::HasField(field) => Value::Bool(self.inputs.has_field(*field)?),
            Node::HasRecord(record) => Value::Bool(self.inputs.has_record(*record)?),
            Node::HasKey(map, key) => Value::Bool(self.evaluate(map)?.map_entry(key)?.is_some()),
            Node::Not(operand) => Value::Bool(!self.evaluate_bool(operand)?),
            Node::Negate(operand) => self.evaluate_negation(operand)?,
            Node::And(operands) => Value::Bool(self.evaluate_logical(operands, true)?),
            Node::Or(operands) => Value::Bool(!self.evaluate_logical(operands, false)?),
            Node::Conditional(operands) => {
                let (condition, yes, no) = &**operands;
                return if self.evaluate_bool(condition)? { self.evaluate(yes) } else { self.evaluate(no) };
            }
            Node::Equals(operands) => Value::Bool(self.evaluate_equality(operands)?),
            Node::NotEquals(operands) => Value::Bool(!self.evaluate_equality(operands)?),
            Node::Comparison(comparison, operands) => Value::Bool(self.evaluate_comparison(*comparison, operands)?),
            Node::Arithmetic(operation, operands) => self.evaluate_arithmetic(*operation, operands)?,
            Node::In(operands) => Value::Bool(self.evaluate_in(&operands.0, &operands.1)?),
            Node::Call(function, arguments) => self.evaluate_call(*function, arguments)?,
            Node::Macro(operation, operands) => self.evaluate_macro(*operation, &operands.0, &operands.1)?,
        })
    }

    pub(super) fn evaluate_bool(&mut self, node: &'a Node) -> Result<bool, EvaluationError> {
        match self.evaluate(node)? {
            Value::Bool(is_true) => Ok(is_true),
            _ => Err(EvaluationError::WrongType),
        }
    }

    fn variable(&mut self, index: usize) -> Result<Value<'a>, EvaluationError> {
        let steps = self.variables.get(index).ok_or(EvaluationError::Absent)?.copy_steps();
        self.charge(steps)?;
        self.variables.get(index).cloned().ok_or(EvaluationError::Absent)
    }

    /// Whether both operands are `wanted`: `true` gives `&&`, `false` the negation of `||`. If one operand decides the
    /// result, an error of the other is ignored.
    fn evaluate_logical(&mut self, operands: &'a (Node, Node), wanted: bool) -> Result<bool, EvaluationError> {
        let one = self.evaluate_bool(&operands.0).map(|is_true| is_true == wanted);
        if one == Ok(false) {
            return Ok(false);
        }
        let other = self.evaluate_bool(&operands.1).map(|is_true| is_true == wanted);
        if other == Ok(false) { other } else { one.and(other) }
    }

    fn evaluate_index(&mut self, container: &'a Node, key: &'a Node) -> Result<Value<'a>, EvaluationError> {
        let container = self.evaluate(container)?;
        match (&container, self.evaluate(key)?) {
            (map, Value::String(key)) if map.map_len().is_some() => {
                self.charge_read(key.len())?;
                map.map_entry(&key)?.ok_or(EvaluationError::Absent)
            }
            (list, Value::Int(index)) if list.list_len().is_some() => {
                self.charge(list.copy_steps())?;
                list.list_element(usize::try_from(index).map_err(|_| EvaluationError::Absent)?)
            }
            _ => Err(EvaluationError::WrongType),
        }
    }

    fn evaluate_negation(&mut self, operand: &'a Node) -> Result<Value<'a>, EvaluationError> {
        match self.evaluate(operand)? {
            Value::Int(number) => number.checked_neg().map(Value::Int).ok_or(EvaluationError::InvalidArgument),
            Value::Double(number) => Ok(Value::Double(-number)),
            _ => Err(EvaluationError::WrongType),
        }
    }

    fn evaluate_equality(&mut self, operands: &'a (Node, Node)) -> Result<bool, EvaluationError> {
        let (one, other) = (self.evaluate(&operands.0)?, self.evaluate(&operands.1)?);
        self.values_equal(&one, &other)
    }

    /// Whether two values are equal. Integers and doubles are compared by value; values of other different types are not
    /// equal. Comparing a map is an error.
    pub(super) fn values_equal(&mut self, one: &Value<'a>, other: &Value<'a>) -> Result<bool, EvaluationError> {
        self.charge(1)?;
        Ok(match (one, other) {
            (Value::String(one), Value::String(other)) => {
                self.charge_read(one.len().min(other.len()))?;
                one == other
            }
            (Value::Bool(one), Value::Bool(other)) => one == other,
            (Value::Null, Value::Null) => true,
            _ if one.map_len().is_some() || other.map_len().is_some() => return Err(EvaluationError::WrongType),
            _ => match (one.list_len(), other.list_len()) {
                (Some(count), Some(others)) if count == others => {
                    for index in 0..count {
                        if !self.values_equal(&one.list_element(index)?, &other.list_element(index)?)? {
                            return Ok(false);
                        }
                    }
                    true
                }
                _ => one.compare(other) == Some(Ordering::Equal),
            },
        })
    }

    fn evaluate_comparison(
        &mut self,
        comparison: Comparison,
        operands: &'a (Node, Node),
    ) -> Result<bool, EvaluationError> {
        let (one, other) = (self.evaluate(&operands.0)?, self.evaluate(&operands.1)?);
        if let (Value::String(one), Value::String(other)) = (&one, &other) {
            self.charge_read(one.len().min(other.len()))?;
        }
        let is_number = |value: &Value| matches!(value, Value::Int(_) | Value::Double(_));
        let Some(ordering) = one.compare(&other) else {
            // NaN is neither less nor greater than any number.
            return if is_number(&one) && is_number(&other) { Ok(false) } else { Err(EvaluationError::WrongType) };
        };
        Ok(match comparison {
            Comparison::Less => ordering.is_lt(),
            Comparison::LessOrEqual => ordering.is_le(),
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterOrEqual => ordering.is_ge(),
        })
    }

    fn evaluate_arithmetic(
        &mut self,
        operation: Arithmetic,
        operands: &'a (Node, Node),
    ) -> Result<Value<'a>, EvaluationError> {
        match (operation, self.evaluate(&operands.0)?, self.evaluate(&operands.1)?) {
            (Arithmetic::Add, Value::String(one), Value::String(other)) => {
                self.charge_written(one.len() + other.len())?;
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
            .ok_or(EvaluationError::InvalidArgument),
            (operation, Value::Double(one), Value::Double(other)) => Ok(Value::Double(match operation {
                Arithmetic::Add => one + other,
                Arithmetic::Subtract => one - other,
                Arithmetic::Multiply => one * other,
                Arithmetic::Divide => one / other,
                Arithmetic::Remainder => return Err(EvaluationError::WrongType),
            })),
            _ => Err(EvaluationError::WrongType),
        }
    }
}
