//! The `guichet` command.

use std::process::ExitCode;

/// This allocator gives memory back to the system after a burst of requests. The system's own allocator
/// keeps as much as was ever in use at the same time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    guichet::cli::main()
}
