//! A step: what one room wants done in a unit of work that another room commits.
//!
//! So that a ticket is consumed and its event recorded together or not at all, although neither room knows the other.

use super::{Failed, Work};
use async_trait::async_trait;
use std::any::{Any, type_name};
use std::sync::Arc;

/// Something to be done within a unit of work, and who does it.
pub struct Step {
    runner: Arc<dyn StepRunner>,
    what: Box<dyn Any + Send + Sync>,
}

/// Does the steps of one room: those of a unit of work together, in as few statements as it takes.
#[async_trait]
pub trait StepRunner: Send + Sync + 'static {
    /// Does them, and says of each, in their order, whether it could be done. One that could not has changed nothing and
    /// does not hinder the others.
    ///
    /// # Errors
    /// When the database fails. Nothing is done then: the whole unit of work is undone.
    async fn run(&self, work: &mut Work, steps: &[&Step]) -> Result<Vec<bool>, Failed>;

    /// Learns how a unit of work has ended, with the steps that it did in it. Told once for each time they were done.
    fn ended(&self, steps: &[&Step], committed: bool);
}

impl Step {
    /// A step for this runner.
    pub fn new(runner: Arc<dyn StepRunner>, what: impl Any + Send + Sync) -> Self {
        Self { runner, what: Box::new(what) }
    }

    /// Who does it.
    #[must_use]
    pub fn runner(&self) -> &Arc<dyn StepRunner> {
        &self.runner
    }

    /// The payload, in the type that the runner puts into its steps. `None` is a programming error, and logged.
    #[must_use]
    pub fn what<T: Any>(&self) -> Option<&T> {
        let what = self.what.downcast_ref();
        if what.is_none() {
            tracing::error!(
                expected = type_name::<T>(),
                "a database step has a payload of another type; it is rejected"
            );
        }
        what
    }
}
