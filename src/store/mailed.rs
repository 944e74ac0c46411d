//! What the calendars of those invited were mailed last: a change is mailed if it makes a difference to that.

use super::{Result, Write};
use crate::ids::InvitationId;
use crate::mail::plan::Mailed;
use sqlx::Row;

impl Write {
    pub async fn mailed(&mut self, invitation: &InvitationId) -> Result<Option<Mailed>> {
        let row = sqlx::query("SELECT address, sequence, link_hash FROM mailed WHERE invitation_id = $1")
            .bind(invitation.as_str())
            .fetch_optional(self.connection())
            .await?;
        row.map(|row| Ok(Mailed { address: row.try_get(0)?, sequence: row.try_get(1)?, link_hash: row.try_get(2)? }))
            .transpose()
    }

    /// `None`: their calendar has nothing any more.
    pub async fn set_mailed(&mut self, invitation: &InvitationId, mailed: Option<&Mailed>) -> Result<()> {
        sqlx::query("DELETE FROM mailed WHERE invitation_id = $1")
            .bind(invitation.as_str())
            .execute(self.connection())
            .await?;
        if let Some(mailed) = mailed {
            sqlx::query("INSERT INTO mailed (invitation_id, address, sequence, link_hash) VALUES ($1, $2, $3, $4)")
                .bind(invitation.as_str())
                .bind(&mailed.address)
                .bind(mailed.sequence)
                .bind(&mailed.link_hash)
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }
}
