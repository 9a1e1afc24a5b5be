//! A step: a change that one module prepares, and another executes and commits in its unit of work.
//!
//! For example, `tickets` prepares the redemption of a ticket, and `audit` commits it with the audit event. Neither module
//! knows the other.

use super::errors::DatabaseError;
use super::unit_of_work::UnitOfWork;
use async_trait::async_trait;
use std::any::{Any, type_name};
use std::sync::Arc;

/// A change within a unit of work: a payload, and the runner that executes it.
pub struct Step {
    runner: Arc<dyn StepRunner>,
    payload: Box<dyn Any + Send + Sync>,
}

/// Executes the steps of one module: all those of a unit of work together, in few statements.
#[async_trait]
pub trait StepRunner: Send + Sync + 'static {
    /// Executes the steps. Returns for each, in order, whether it was accepted. A rejected step changes nothing and does not
    /// affect the others.
    ///
    /// # Errors
    /// When the database fails. The whole unit of work is then rolled back.
    async fn run(&self, work: &mut UnitOfWork, steps: &[&Step]) -> Result<Vec<bool>, DatabaseError>;

    /// Called once after the end of a unit of work, with its accepted steps.
    fn on_end(&self, steps: &[&Step], committed: bool);
}

impl Step {
    /// A step with a payload for this runner.
    pub fn new(runner: Arc<dyn StepRunner>, payload: impl Any + Send + Sync) -> Self {
        Self { runner, payload: Box::new(payload) }
    }

    /// The runner that executes this step.
    #[must_use]
    pub fn runner(&self) -> &Arc<dyn StepRunner> {
        &self.runner
    }

    /// The payload. `None` if it is not a `T`: the runner was given a step that it did not create, which is logged as an error.
    #[must_use]
    pub fn payload<T: Any>(&self) -> Option<&T> {
        let payload = self.payload.downcast_ref();
        if payload.is_none() {
            tracing::error!(
                expected = type_name::<T>(),
                "a database step has a payload of another type; it is rejected"
            );
        }
        payload
    }
}
