//! The `rustk8s` server.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    rustk8s_host::run::run(std::env::args_os())
}
