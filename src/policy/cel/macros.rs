//! Evaluates macros and `in`, which iterate over a list or over the keys of a map.

use super::evaluate::Evaluation;
use super::failure::Failure;
use super::node::{Macro, Node};
use super::value::Value;

impl<'a> Evaluation<'_, 'a> {
    pub(super) fn evaluate_macro(
        &mut self,
        each: Macro,
        range: &'a Node,
        body: &'a Node,
    ) -> Result<Value<'a>, Failure> {
        let range = self.value(range)?;
        if let Some(count) = range.entries() {
            self.charge(count)?;
        }
        let range = match range.keys() {
            Some(keys) => Value::List(keys),
            None => range,
        };
        let count = range.elements().ok_or(Failure::WrongType)?;
        match each {
            Macro::All => self.any_or_all(&range, count, body, false),
            Macro::Exists => self.any_or_all(&range, count, body, true),
            Macro::ExistsOne => {
                let mut found = 0;
                for at in 0..count {
                    found += usize::from(self.element_truth(&range, at, body)?);
                }
                Ok(Value::Bool(found == 1))
            }
            Macro::Filter => {
                let mut kept = Vec::new();
                for at in 0..count {
                    if self.element_truth(&range, at, body)? {
                        kept.push(self.copy_element(&range, at)?);
                    }
                }
                Ok(Value::List(kept))
            }
            Macro::Map => {
                let mut made = Vec::new();
                for at in 0..count {
                    made.push(self.with_element(&range, at, |evaluation| evaluation.value(body))?);
                }
                Ok(Value::List(made))
            }
        }
    }

    /// One element alone can decide `all` or `exists`, even if others fail.
    fn any_or_all(
        &mut self,
        range: &Value<'a>,
        count: usize,
        body: &'a Node,
        settles: bool,
    ) -> Result<Value<'a>, Failure> {
        let mut failure = None;
        for at in 0..count {
            match self.element_truth(range, at, body) {
                Ok(is_true) if is_true == settles => return Ok(Value::Bool(settles)),
                Ok(_) => {}
                Err(Failure::TooCostly) => return Err(Failure::TooCostly),
                Err(found) => failure = failure.or(Some(found)),
            }
        }
        failure.map_or(Ok(Value::Bool(!settles)), Err)
    }

    fn element_truth(&mut self, range: &Value<'a>, at: usize, body: &'a Node) -> Result<bool, Failure> {
        self.with_element(range, at, |evaluation| evaluation.truth(body))
    }

    /// Evaluates with the element as the innermost variable.
    fn with_element<T>(
        &mut self,
        range: &Value<'a>,
        at: usize,
        run: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let element = self.copy_element(range, at)?;
        self.variables.push(element);
        let outcome = run(self);
        self.variables.pop();
        outcome
    }

    fn copy_element(&mut self, range: &Value<'a>, at: usize) -> Result<Value<'a>, Failure> {
        let element = range.element(at)?;
        self.charge(1 + element.weight())?;
        Ok(element)
    }

    pub(super) fn is_in(&mut self, element: &'a Node, container: &'a Node) -> Result<bool, Failure> {
        let element = self.value(element)?;
        let container = self.value(container)?;
        if container.entries().is_some() {
            return match element {
                Value::String(key) => {
                    self.charge_reading(key.len())?;
                    Ok(container.entry(&key)?.is_some())
                }
                // CEL allows these types as keys, but these maps have none.
                Value::Int(_) | Value::Bool(_) => Ok(false),
                _ => Err(Failure::WrongType),
            };
        }
        let count = container.elements().ok_or(Failure::WrongType)?;
        for at in 0..count {
            let other = container.element(at)?;
            if self.same(&element, &other)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
