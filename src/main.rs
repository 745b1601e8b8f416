//! The `icesync` command: parse, run, exit code.

mod cli;

use std::process::ExitCode;

/// Batches and files come and go on several threads: this allocator gives their memory back, and hands it out again
/// without new pages.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// One arena, so that no thread keeps what another could use. Measure (i) of `benches/` watches it.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: &[u8; 10] = b"narenas:1\0";

fn main() -> ExitCode {
    cli::main()
}
