//! The program `skyferry`; lib.rs is all of it.

use std::process::ExitCode;

/// Thousands of small tasks and buffers: it stays smaller than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    skyferry::main()
}
