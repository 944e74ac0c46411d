//! The binary: parse, run, exit code.

mod administer;

use anyhow::Context;
use clap::Parser;
use consilium::app::App;
use consilium::cli::{Cli, Command, ConfigCommand, ServeArgs, TokenArgs};
use consilium::{credentials, ops};
use std::process::ExitCode;
use std::time::SystemTime;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    match run(Cli::parse().into_command()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("consilium: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => serve(&args),
        Command::Token(args) => token(&args),
        Command::ApiKey { command } => run_async(administer::api_key(&command)),
        Command::User { command } => run_async(administer::user(&command)),
        Command::Audit { command } => run_async(administer::audit(&command)),
        Command::Backup { file, settings } => run_async(administer::backup(&file, &settings)),
        Command::Restore { file, replace, settings } => run_async(administer::restore(&file, replace, &settings)),
        Command::Config { command: ConfigCommand::Check(args) } => check(&args),
    }
}

fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    let loaded = administer::load(&args.file, args.overrides())?;
    ops::start_logging(&loaded.config.log).context("cannot start logging")?;
    for variable in loaded.ignored_variables {
        tracing::warn!(variable, "this environment variable names no configuration key");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        // Before the start, so that a signal during it is not lost.
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let app = App::start(&loaded.config).await?;
        if let Some(link) = app.first_link() {
            println!("Open this link to meet: {link}");
        }
        let name = tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        };
        tracing::info!(signal = name, "stopping");
        app.shutdown().await?;
        tracing::info!("stopped");
        Ok(())
    })
}

/// Commands that end by themselves need one thread.
fn run_async(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(command)
}

fn token(args: &TokenArgs) -> anyhow::Result<()> {
    let loaded = administer::load(&args.file, args.file.overrides())?;
    let keys = credentials::resolve(&loaded.config)?;
    println!("{}", keys.sign(&args.claims(), SystemTime::now(), args.ttl)?);
    Ok(())
}

fn check(args: &ServeArgs) -> anyhow::Result<()> {
    let loaded = administer::load(&args.file, args.overrides())?;
    for variable in loaded.ignored_variables {
        eprintln!("{variable} names no configuration key and is ignored");
    }
    print!("# The configuration is valid. In effect:\n{}", toml::to_string(&loaded.config)?);
    Ok(())
}
