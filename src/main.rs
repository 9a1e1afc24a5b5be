//! The process: its allocator, and everything else from the library.

use mimalloc::MiMalloc;
use std::process::ExitCode;
use zeroizing_alloc::ZeroAlloc;

/// Overwrites memory when it is freed. Our own buffers of secrets do that themselves; those of HTTP, TLS and JSON do not.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> ExitCode {
    claviger::cli::run()
}
