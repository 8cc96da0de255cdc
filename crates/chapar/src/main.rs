//! This is the `chapar` program. Everything else is in the library, so that tests can run it in their own
//! process.

use std::process::ExitCode;

/// A call makes some hundred small allocations: see `docs/decisions/0012-mimalloc.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    chapar::cli::main()
}
