//! The program `relax`.

/// candle and the log writers allocate small pieces often; measured, the system's allocator is slower at it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    relax_rl::cli::main()
}
