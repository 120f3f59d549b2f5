//! Show the memory map of a process: its regions, what each one is for, and what it costs.

use std::process::ExitCode;

fn main() -> ExitCode {
    mmview::main()
}
