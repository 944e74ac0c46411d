//! The link emulator's command line.

use clap::Parser;
use consilium_benches::tun::options::Options;
use consilium_benches::tun::run;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
