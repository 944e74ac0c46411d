//! One round: what is over is removed kind by kind and batch by batch. Each batch and the audit entry that tells of it are
//! one transaction, so nothing is ever gone without a trace; between two of them, others write.

use super::rules::{Kind, Rules};
use crate::moment::Moment;
use crate::store::audit::{Detail, NewEntry};
use crate::store::{Result, Store, Write};

/// Rows of one transaction: some ten milliseconds for which everybody else waits.
const BATCH: i64 = 500;
/// Meetings of one transaction, each with up to a thousand invitations.
const MEETINGS_BATCH: i64 = 10;
/// Batches of one kind in one round; the next round goes on.
const BATCHES_MAX: usize = 1_000;

/// What a round removed of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Removed {
    pub kind: Kind,
    pub rows: i64,
}

/// Returns what was removed, of each kind of which anything was.
pub async fn apply(store: &Store, rules: &Rules, actor: &str, now: Moment) -> Result<Vec<Removed>> {
    let mut all = Vec::new();
    for kind in Kind::ALL {
        let Some(before) = rules.over_before(kind, now) else { continue };
        let mut rows = 0;
        for _ in 0..BATCHES_MAX {
            match remove(store, kind, before, actor, now).await? {
                0 => break,
                removed => rows += removed,
            }
        }
        if rows > 0 {
            all.push(Removed { kind, rows });
        }
    }
    Ok(all)
}

async fn remove(store: &Store, kind: Kind, before: Moment, actor: &str, now: Moment) -> Result<i64> {
    let mut write = store.write().await?;
    let removed = match kind {
        Kind::Events => write.prune_events(before, BATCH).await?,
        Kind::Presence => write.prune_presence(before, BATCH).await?,
        Kind::Cases => write.prune_cases(before, BATCH).await?,
        Kind::Meetings => write.prune_meetings(before, MEETINGS_BATCH).await?,
        Kind::Audit => return cut_audit(write, before, actor, now).await,
    };
    if removed > 0 {
        let details = [
            ("kind", Detail::Word(kind.name())),
            ("removed", Detail::Number(removed)),
            ("before_ms", Detail::Number(before.ms())),
        ];
        let entry = NewEntry { actor, action: "retention.applied", subject: "retention", details: &details };
        write.append_audit(now, &entry).await?;
        write.commit().await?;
    }
    Ok(removed)
}

/// The entry that is written holds what the log is chained to from here on.
async fn cut_audit(mut write: Write, before: Moment, actor: &str, now: Moment) -> Result<i64> {
    let Some((removed, anchor)) = write.prune_audit(before, BATCH).await? else { return Ok(0) };
    write.append_cut(now, actor, &anchor, removed).await?;
    write.commit().await?;
    Ok(removed)
}
