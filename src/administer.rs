//! The commands that work on the database and end: keys, audit, retention, backup. They may run beside the server, all but restore.

use anyhow::Context;
use consilium::cli::{ApiKeyCommand, AuditCommand, FileArgs, RetentionCommand};
use consilium::config::{self, Config, Loaded, Overrides};
use consilium::moment::Moment;
use consilium::retention;
use consilium::store::audit::NewEntry;
use consilium::store::{self, BackupError, Place, Store};
use std::io::Write;
use std::path::Path;

/// Who acted, in the audit log: whoever may run commands on the server's host.
const ACTOR: &str = "cli";

/// Reads the configuration that the arguments name.
pub(crate) fn load(file: &FileArgs, overrides: Overrides) -> anyhow::Result<Loaded> {
    // A variable that is not Unicode is none of ours: names and values are ASCII or text.
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Ok(config::load(file.config.as_deref(), environment, overrides)?)
}

pub(crate) async fn api_key(command: &ApiKeyCommand) -> anyhow::Result<()> {
    let ApiKeyCommand::Create { name, scope, ttl, settings } = command;
    let store = open(&configuration(settings)?).await?;
    let now = Moment::now();
    let expires_at = ttl.map(|ttl| now.plus(ttl));
    let mut write = store.write().await?;
    let (_, secret) = write.create_api_key(ACTOR, name.clone(), scope.clone(), expires_at, now).await?;
    write.commit().await?;
    // Only now does the key exist.
    println!("{}", secret.expose());
    store.close().await;
    Ok(())
}

pub(crate) async fn audit(command: &AuditCommand) -> anyhow::Result<()> {
    match command {
        AuditCommand::Verify { settings } => {
            let store = open(&configuration(settings)?).await?;
            let head = store.verify_audit().await?.context("the audit log does not hold")?;
            println!("The audit log holds: {head}.");
            match store.audit_anchor().await?.sequence {
                0 => {}
                cut => println!("Entries up to {cut} were removed when they were over, and the log says so."),
            }
            store.close().await;
        }
        AuditCommand::Export { settings } => {
            let store = open(&configuration(settings)?).await?;
            export(&store, &mut std::io::stdout().lock()).await?;
            store.close().await;
        }
    }
    Ok(())
}

/// That it was exported is an act too, and the last line of what is exported.
async fn export(store: &Store, out: &mut impl Write) -> anyhow::Result<()> {
    let mut write = store.write().await?;
    let entry = NewEntry { actor: ACTOR, action: "audit.exported", subject: "audit", details: &[] };
    write.append_audit(Moment::now(), &entry).await?;
    write.commit().await?;
    let mut sequence = 0;
    loop {
        let entries = store.audit_after(sequence).await?;
        let Some(last) = entries.last() else { break };
        sequence = last.sequence;
        for entry in &entries {
            writeln!(out, "{}", serde_json::to_string(entry)?)?;
        }
    }
    Ok(out.flush()?)
}

pub(crate) async fn retention(command: &RetentionCommand) -> anyhow::Result<()> {
    let RetentionCommand::Run { settings } = command;
    let config = configuration(settings)?;
    let store = open(&config).await?;
    let removed = retention::apply(&store, &config.retention, ACTOR, Moment::now()).await?;
    for one in &removed {
        println!("Removed of {}: {}.", one.kind.name(), one.rows);
    }
    if removed.is_empty() {
        println!("Nothing was over.");
    }
    store.close().await;
    Ok(())
}

pub(crate) async fn backup(file: &Path, settings: &FileArgs) -> anyhow::Result<()> {
    let store = open(&configuration(settings)?).await?;
    store.backup(file).await?;
    store.close().await;
    println!("The database was copied to {}.", file.display());
    Ok(())
}

pub(crate) async fn restore(file: &Path, replace: bool, settings: &FileArgs) -> anyhow::Result<()> {
    let Place::Sqlite { data_dir } = configuration(settings)?.store_place() else {
        return Err(BackupError::NotSqlite.into());
    };
    let kept = store::restore(&data_dir, file, replace).await?;
    println!("The database was restored from {}.", file.display());
    if let Some(kept) = kept {
        println!("The one before is kept as {}.", kept.display());
    }
    Ok(())
}

fn configuration(settings: &FileArgs) -> anyhow::Result<Config> {
    Ok(load(settings, settings.overrides())?.config)
}

async fn open(config: &Config) -> anyhow::Result<Store> {
    Store::open(&config.store_place()).await.context("cannot open the database")
}
