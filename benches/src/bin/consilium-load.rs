//! The load generator's command line.

use anyhow::Context;
use clap::Parser;
use consilium_benches::load::options::Options;
use consilium_benches::load::{process, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    match start(Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(options: Options) -> anyhow::Result<ExitCode> {
    // A socket and a WebSocket for each member.
    rlimit::increase_nofile_limit(u64::MAX).context("the limit of open files cannot be raised")?;
    process::pin_this_thread(options.run.cpu);
    let (json, check) = (options.run.json.clone(), options.run.check);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        tokio::select! {
            report = run(options) => report.map(Some),
            _ = tokio::signal::ctrl_c() => Ok(None),
        }
    })?;
    let Some(report) = report else {
        eprintln!("interrupted: nothing was measured to the end");
        return Ok(ExitCode::FAILURE);
    };
    println!("{report}");
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(if check && !report.within_limits { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
