//! Nobody looks into this process: it leaves no core file, and no other process of its user may trace or read it.

use rustix::io;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Keeps this process's memory to itself. To be called before it holds any secret. What it executes later may be traced
/// as usual, and leaves no core file either.
///
/// # Errors
/// When the kernel, or what filters calls to it, refuses.
pub fn hide_memory() -> io::Result<()> {
    // A limit alone does not keep a core from being piped to a program, nor a debugger out.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
}
