//! The commands that work on the database and end: keys, accounts, audit, backup. They may run beside the server, all but restore.

use anyhow::Context;
use consilium::cli::{ApiKeyCommand, AuditCommand, FileArgs, UserCommand};
use consilium::config::{self, Config, Loaded, Overrides};
use consilium::identity::account::{Proof, User};
use consilium::identity::password::{Password, PasswordHash};
use consilium::moment::Moment;
use consilium::store::audit::{Detail, NewEntry};
use consilium::store::{self, BackupError, Place, Store, StoreError};
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

pub(crate) async fn user(command: &UserCommand) -> anyhow::Result<()> {
    let (UserCommand::Create { settings, .. } | UserCommand::ResetPassword { settings, .. }) = command;
    let store = open(&configuration(settings)?).await?;
    let (password, now) = (Password::generate(), Moment::now());
    let hash = password.hash().context("the password cannot be hashed")?;
    let mut write = store.write().await?;
    let (user, action) = change(&mut write, command, hash, now).await?;
    let (subject, details) = (user.id.as_str(), [("role", Detail::Word(user.role.name()))]);
    write.append_audit(now, &NewEntry { actor: ACTOR, action, subject, details: &details }).await?;
    write.commit().await?;
    // Only now does it open anything.
    println!("{}", password.expose());
    store.close().await;
    Ok(())
}

/// Returns the account as it is now, and what happened to it.
async fn change(
    write: &mut store::Write,
    command: &UserCommand,
    hash: PasswordHash,
    now: Moment,
) -> anyhow::Result<(User, &'static str)> {
    match command {
        UserCommand::Create { login, name, role, .. } => {
            let user = User::new(name.clone(), *role, Proof::Password { login: login.clone(), hash }, now);
            match write.insert_user(&user).await {
                Err(StoreError::Conflict) => anyhow::bail!("somebody signs in as {} already", login.as_str()),
                inserted => inserted?,
            }
            Ok((user, "user.created"))
        }
        UserCommand::ResetPassword { login, .. } => {
            let user = match write.user_by_login(login).await {
                Err(StoreError::NotFound) => anyhow::bail!("nobody signs in as {}", login.as_str()),
                found => found?,
            };
            let user = user.with_password(hash, now).context("this account has no password here")?;
            let user = User { disabled_at: None, ..user };
            write.update_user(&user).await?;
            write.end_sessions(&user.id).await?;
            Ok((user, "user.password_reset"))
        }
    }
}

pub(crate) async fn audit(command: &AuditCommand) -> anyhow::Result<()> {
    match command {
        AuditCommand::Verify { settings } => {
            let store = open(&configuration(settings)?).await?;
            let head = store.verify_audit().await?.context("the audit log does not hold")?;
            println!("The audit log holds: {head}.");
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
