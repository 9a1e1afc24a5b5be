//! Evaluates macros and `in`, which iterate over a list or over the keys of a map.

use super::evaluate::Evaluator;
use super::evaluation_error::EvaluationError;
use super::node::{Macro, Node};
use super::value::Value;

impl<'a> Evaluator<'_, 'a> {
    pub(super) fn evaluate_macro(
        &mut self,
        operation: Macro,
        collection: &'a Node,
        body: &'a Node,
    ) -> Result<Value<'a>, EvaluationError> {
        let collection = self.evaluate(collection)?;
        if let Some(count) = collection.map_len() {
            self.charge(count)?;
        }
        let collection = match collection.map_keys() {
            Some(keys) => Value::List(keys),
            None => collection,
        };
        let count = collection.list_len().ok_or(EvaluationError::WrongType)?;
        match operation {
            Macro::All => self.evaluate_quantifier(&collection, count, body, false),
            Macro::Exists => self.evaluate_quantifier(&collection, count, body, true),
            Macro::ExistsOne => {
                let mut found = 0;
                for index in 0..count {
                    found += usize::from(self.evaluate_for_element(&collection, index, body)?);
                }
                Ok(Value::Bool(found == 1))
            }
            Macro::Filter => {
                let mut filtered = Vec::new();
                for index in 0..count {
                    if self.evaluate_for_element(&collection, index, body)? {
                        filtered.push(self.copy_element(&collection, index)?);
                    }
                }
                Ok(Value::List(filtered))
            }
            Macro::Map => {
                let mut mapped = Vec::new();
                for index in 0..count {
                    mapped.push(self.with_element(&collection, index, |evaluator| evaluator.evaluate(body))?);
                }
                Ok(Value::List(mapped))
            }
        }
    }

    /// Evaluates `exists` if `deciding` is true, `all` if it is false. An element whose condition is `deciding` decides the
    /// result, and errors of other elements are then ignored.
    fn evaluate_quantifier(
        &mut self,
        collection: &Value<'a>,
        count: usize,
        body: &'a Node,
        deciding: bool,
    ) -> Result<Value<'a>, EvaluationError> {
        let mut error = None;
        for index in 0..count {
            match self.evaluate_for_element(collection, index, body) {
                Ok(is_true) if is_true == deciding => return Ok(Value::Bool(deciding)),
                Ok(_) => {}
                Err(EvaluationError::TooManySteps) => return Err(EvaluationError::TooManySteps),
                Err(found) => error = error.or(Some(found)),
            }
        }
        error.map_or(Ok(Value::Bool(!deciding)), Err)
    }

    fn evaluate_for_element(
        &mut self,
        collection: &Value<'a>,
        index: usize,
        body: &'a Node,
    ) -> Result<bool, EvaluationError> {
        self.with_element(collection, index, |evaluator| evaluator.evaluate_bool(body))
    }

    /// Runs an evaluation with the element as the innermost variable.
    fn with_element<T>(
        &mut self,
        collection: &Value<'a>,
        index: usize,
        run: impl FnOnce(&mut Self) -> Result<T, EvaluationError>,
    ) -> Result<T, EvaluationError> {
        let element = self.copy_element(collection, index)?;
        self.variables.push(element);
        let result = run(self);
        self.variables.pop();
        result
    }

    fn copy_element(&mut self, collection: &Value<'a>, index: usize) -> Result<Value<'a>, EvaluationError> {
        let element = collection.list_element(index)?;
        self.charge(1 + element.copy_steps())?;
        Ok(element)
    }

    pub(super) fn evaluate_in(&mut self, element: &'a Node, container: &'a Node) -> Result<bool, EvaluationError> {
        let element = self.evaluate(element)?;
        let container = self.evaluate(container)?;
        if container.map_len().is_some() {
            return match element {
                Value::String(key) => {
                    self.charge_read(key.len())?;
                    Ok(container.map_entry(&key)?.is_some())
                }
                // CEL allows keys of these types, but the keys of these maps are strings.
                Value::Int(_) | Value::Bool(_) => Ok(false),
                _ => Err(EvaluationError::WrongType),
            };
        }
        let count = container.list_len().ok_or(EvaluationError::WrongType)?;
        for index in 0..count {
            let other = container.list_element(index)?;
            if self.values_equal(&element, &other)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
