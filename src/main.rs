//! The `guichet` command.

use std::process::ExitCode;

/// Gives memory back to the system after a burst, which the system's own allocator does not: there,
/// whatever was in use at the same time stays.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    guichet::cli::main()
}
