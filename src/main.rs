//! The executable: sets the allocator and runs the command line of the library.

use mimalloc::MiMalloc;
use std::process::ExitCode;
use zeroizing_alloc::ZeroAlloc;

/// Overwrites memory when it is freed. Claviger overwrites its own buffers of secrets; the libraries for HTTP, TLS and JSON do not.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> ExitCode {
    claviger::cli::run()
}
