//! A step: a change that one room makes in a unit of work that another room commits.
//!
//! A ticket is consumed and its event recorded in one transaction, although neither room knows the other.

use super::failed::Failed;
use super::work::Work;
use async_trait::async_trait;
use std::any::{Any, type_name};
use std::sync::Arc;

/// A change within a unit of work, and the runner that makes it.
pub struct Step {
    runner: Arc<dyn StepRunner>,
    what: Box<dyn Any + Send + Sync>,
}

/// Runs the steps of one room: all of a unit of work together, in few statements.
#[async_trait]
pub trait StepRunner: Send + Sync + 'static {
    /// Runs the steps. Returns for each, in order, whether it was accepted. A rejected step changes nothing and does not affect
    /// the others.
    ///
    /// # Errors
    /// When the database fails. The whole unit of work is then rolled back.
    async fn run(&self, work: &mut Work, steps: &[&Step]) -> Result<Vec<bool>, Failed>;

    /// Called once after the end of a unit of work, with the accepted steps.
    fn ended(&self, steps: &[&Step], committed: bool);
}

impl Step {
    /// A step with a payload for this runner.
    pub fn new(runner: Arc<dyn StepRunner>, what: impl Any + Send + Sync) -> Self {
        Self { runner, what: Box::new(what) }
    }

    /// The runner.
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
