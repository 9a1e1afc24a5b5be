//! Protects the memory of this process: no core files, and no tracing or reading by other processes of its user.

use rustix::io;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Protects the memory of this process. Call it before the process holds a secret. Programs that it executes later
/// can be traced as usual, but write no core files either.
///
/// # Errors
/// The kernel or a system call filter refuses the protection.
pub fn protect_memory() -> io::Result<()> {
    // A resource limit prevents neither core dumps to a pipe nor debuggers.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
}
