//! The program `relax`.

fn main() -> std::process::ExitCode {
    relax_rl::cli::main()
}
