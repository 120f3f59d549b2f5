//! Shows which memory regions a process has, what each is for, and what it costs.

use std::process::ExitCode;

use mmview::cli::{self, Exit};

fn main() -> ExitCode {
    let plan = match cli::plan(std::env::args_os()) {
        Ok(plan) => plan,
        Err(exit) => return exit.code().into(),
    };
    env_logger::Builder::new().filter_level(plan.log_level()).parse_default_env().init();
    let exit = match cli::run(plan) {
        Ok(exit) => exit,
        Err(error) if cli::is_broken_pipe(&error) => Exit::Done,
        Err(error) => {
            cli::report(&error, None);
            Exit::of(&error)
        }
    };
    exit.code().into()
}
