//! Secrets of invitations' links, sealed: the key is not in the database ([`crate::vault`]). They are kept because a
//! calendar must still have the link after the meeting has moved.

use super::{Result, Store, Write};
use crate::ids::InvitationId;
use sqlx::Row;

impl Write {
    /// Takes the place of an earlier one.
    pub async fn put_link(&mut self, invitation: &InvitationId, sealed: &str) -> Result<()> {
        self.delete_link(invitation).await?;
        sqlx::query("INSERT INTO invitation_links (invitation_id, sealed_secret) VALUES ($1, $2)")
            .bind(invitation.as_str())
            .bind(sealed)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    pub async fn delete_link(&mut self, invitation: &InvitationId) -> Result<()> {
        sqlx::query("DELETE FROM invitation_links WHERE invitation_id = $1")
            .bind(invitation.as_str())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

impl Store {
    /// `None` for invitations that are older than the keeping of links, and for revoked ones.
    pub async fn link(&self, invitation: &InvitationId) -> Result<Option<String>> {
        let row = sqlx::query("SELECT sealed_secret FROM invitation_links WHERE invitation_id = $1")
            .bind(invitation.as_str())
            .fetch_optional(&mut *self.reader().await?)
            .await?;
        row.map(|row| Ok(row.try_get(0)?)).transpose()
    }
}
