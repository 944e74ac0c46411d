//! The audit log: who did what, when, to what. Rows are only ever added. Each holds a SHA-256 over itself and the hash of
//! the row before it, so a row that was changed, moved, added or taken out in the middle breaks the chain, and one taken
//! off the end contradicts the head.
//!
//! What it does not show: whoever can write to the database can compute a whole new chain. The head's hash, printed by
//! `consilium audit verify`, is therefore worth keeping elsewhere: a chain that no longer holds it was rewritten.
//!
//! No names of people: an entry's details are identifiers, numbers and fixed words, and the types allow nothing else.

use super::{Result, Store, Write};
use crate::moment::Moment;
use serde::Serialize;
use sqlx::{AnyConnection, Row};
use std::fmt::{Display, Write as _};

/// Rows read at a time.
const PAGE: i64 = 1_000;
/// Before the first row.
const FIRST_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One thing more about an act.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
pub enum Detail {
    Number(i64),
    /// A word of the program, never of a person.
    Word(&'static str),
    Words(Vec<&'static str>),
    Id(Identifier),
}

/// The text of one of our identifiers ([`crate::ids`]), or of one that the configuration gives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct Identifier(String);

macro_rules! identifiers {
    ($($id:ty),*) => {
        $(impl From<&$id> for Identifier {
            fn from(id: &$id) -> Self {
                Self(id.to_string())
            }
        })*
    };
}
identifiers!(
    crate::ids::MeetingId,
    crate::ids::InvitationId,
    crate::ids::ApiKeyId,
    crate::ids::UserId,
    crate::ids::SessionId,
    crate::identity::account::ProviderId
);

/// An act to be written.
#[derive(Clone, Debug)]
pub struct NewEntry<'a> {
    /// `cli`, `system`, or the identifier of who acted.
    pub actor: &'a str,
    /// `api_key.created`: a noun, a dot, a verb.
    pub action: &'static str,
    pub subject: &'a str,
    pub details: &'a [(&'static str, Detail)],
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Entry {
    pub sequence: i64,
    pub at: Moment,
    pub actor: String,
    pub action: String,
    pub subject: String,
    /// A JSON object, as it was hashed.
    pub details: String,
    pub previous_hash: String,
    pub hash: String,
}

impl Entry {
    /// SHA-256 of a JSON array of everything but the hash itself, which has one spelling only.
    fn computed_hash(&self) -> String {
        let canonical = serde_json::json!([
            self.sequence,
            self.at.ms(),
            self.actor,
            self.action,
            self.subject,
            self.details,
            self.previous_hash
        ]);
        hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.to_string().as_bytes()).as_ref())
    }
}

/// What a sound chain ends in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    pub sequence: i64,
    pub hash: String,
}

/// The first thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Break {
    #[error("entry {0} is missing")]
    Missing(i64),
    #[error("entry {0} was changed: its hash is not that of its content")]
    Changed(i64),
    #[error("entry {0} does not follow the one before it")]
    Unlinked(i64),
    #[error("the log ends at entry {found}, and should end at entry {expected}")]
    End { found: i64, expected: i64 },
}

impl Write {
    pub async fn append_audit(&mut self, now: Moment, entry: &NewEntry<'_>) -> Result<()> {
        let head = head(self.connection()).await?;
        let details: serde_json::Map<_, _> =
            entry.details.iter().map(|(name, detail)| ((*name).to_owned(), serde_json::json!(detail))).collect();
        let mut row = Entry {
            sequence: head.sequence + 1,
            at: now,
            actor: entry.actor.to_owned(),
            action: entry.action.to_owned(),
            subject: entry.subject.to_owned(),
            details: serde_json::Value::Object(details).to_string(),
            previous_hash: head.hash,
            hash: String::new(),
        };
        row.hash = row.computed_hash();
        sqlx::query(
            "INSERT INTO audit (sequence, at_ms, actor, action, subject, details, previous_hash, hash) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(row.sequence)
        .bind(row.at.ms())
        .bind(&row.actor)
        .bind(&row.action)
        .bind(&row.subject)
        .bind(&row.details)
        .bind(&row.previous_hash)
        .bind(&row.hash)
        .execute(self.connection())
        .await?;
        sqlx::query("UPDATE log_heads SET sequence = $1, hash = $2 WHERE name = 'audit'")
            .bind(row.sequence)
            .bind(&row.hash)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

impl Store {
    /// Entries with a higher number, oldest first, a page of them; empty at the end.
    pub async fn audit_after(&self, sequence: i64) -> Result<Vec<Entry>> {
        page(&mut *self.reader().await?, sequence).await
    }

    /// Walks the whole chain. The inner result is what the log says, the outer one whether it could be read.
    pub async fn verify_audit(&self) -> Result<Result<Head, Break>> {
        let mut connection = self.reader().await?;
        // Read first: what is appended meanwhile comes after it, and is verified too.
        let expected = head(&mut connection).await?;
        let mut at = Head { sequence: 0, hash: FIRST_HASH.to_owned() };
        let mut passes_head = expected.sequence == 0 && expected.hash == FIRST_HASH;
        loop {
            let entries = page(&mut connection, at.sequence).await?;
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                at = match follow(&at, &entry) {
                    Ok(next) => next,
                    Err(broken) => return Ok(Err(broken)),
                };
                passes_head |= at == expected;
            }
        }
        Ok(match passes_head {
            true => Ok(at),
            false => Err(Break::End { found: at.sequence, expected: expected.sequence }),
        })
    }
}

fn follow(at: &Head, entry: &Entry) -> Result<Head, Break> {
    if entry.sequence != at.sequence + 1 {
        return Err(Break::Missing(at.sequence + 1));
    }
    if entry.computed_hash() != entry.hash {
        return Err(Break::Changed(entry.sequence));
    }
    if entry.previous_hash != at.hash {
        return Err(Break::Unlinked(entry.sequence));
    }
    Ok(Head { sequence: entry.sequence, hash: entry.hash.clone() })
}

async fn head(connection: &mut AnyConnection) -> Result<Head> {
    let row = sqlx::query("SELECT sequence, hash FROM log_heads WHERE name = 'audit'").fetch_one(connection).await?;
    Ok(Head { sequence: row.try_get(0)?, hash: row.try_get(1)? })
}

async fn page(connection: &mut AnyConnection, sequence: i64) -> Result<Vec<Entry>> {
    let rows = sqlx::query(
        "SELECT sequence, at_ms, actor, action, subject, details, previous_hash, hash FROM audit WHERE sequence > $1 \
         ORDER BY sequence LIMIT $2",
    )
    .bind(sequence)
    .bind(PAGE)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Entry {
                sequence: row.try_get(0)?,
                at: Moment::from_ms(row.try_get(1)?),
                actor: row.try_get(2)?,
                action: row.try_get(3)?,
                subject: row.try_get(4)?,
                details: row.try_get(5)?,
                previous_hash: row.try_get(6)?,
                hash: row.try_get(7)?,
            })
        })
        .collect()
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} entries, the last with hash {}", self.sequence, self.hash)
    }
}
