//! How mails leave: by SMTP, one connection each. What the other side says is never logged, for it repeats addresses.

use super::message::Letter;
use super::plan::is_still_so;
use super::{CANCEL, Envelope};
use crate::calendar::links::Links;
use crate::config::{MailConfig, MailTls};
use crate::meetings::invitation::Invitation;
use crate::moment::Moment;
use crate::outbox::courier::Carrier;
use crate::outbox::{Channel, Delivery, Failure, Outcome};
use crate::store::{Store, StoreError};
use crate::vault::Vault;
use lettre::message::Mailbox;
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use std::time::Duration;

/// For each step of the conversation.
const STEP_TIMEOUT: Duration = Duration::from_secs(15);
/// RFC 5321 section 4.2.3: the mailbox or the mail is refused, and will be again. Other codes of the same class say that we
/// are not known or not liked yet, which somebody repairs.
const FINAL: std::ops::RangeInclusive<u16> = 550..=559;
/// As mail programs show it.
const SENDER: &str = "Consilium";

#[derive(Debug, thiserror::Error)]
pub enum MailError {
    #[error("mail.host and mail.from must both be set")]
    Incomplete,
    #[error("mail.from is not an address")]
    Address,
    #[error("mail cannot be sent with TLS: {0}")]
    Tls(String),
}

pub struct Smtp {
    store: Store,
    vault: Vault,
    links: Links,
    from: Mailbox,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

/// What is about to leave.
enum Prepared {
    Message(Box<Message>),
    Superseded,
}

impl Smtp {
    pub fn new(config: &MailConfig, store: Store, vault: Vault, links: Links) -> Result<Self, MailError> {
        let (Some(host), Some(from)) = (&config.host, &config.from) else { return Err(MailError::Incomplete) };
        let from = Mailbox::new(Some(SENDER.into()), from.parse().map_err(|_| MailError::Address)?);
        let tls = |error: smtp::Error| MailError::Tls(error.to_string());
        let builder = match config.tls {
            MailTls::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(host).map_err(tls)?,
            MailTls::Starttls => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host).map_err(tls)?,
            MailTls::None => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host),
        };
        let mut builder = builder.port(config.port).timeout(Some(STEP_TIMEOUT));
        if let (Some(username), Some(password)) = (&config.username, &config.password) {
            builder = builder.credentials(Credentials::new(username.clone(), password.expose().to_owned()));
        }
        Ok(Self { store, vault, links, from, transport: builder.build() })
    }

    /// What is true now, not when the mail was planned.
    async fn prepare(&self, delivery: &Delivery) -> Result<Prepared, Failure> {
        let store = |error: StoreError| {
            tracing::warn!(%error, "a mail was not prepared");
            Failure::from("store")
        };
        let envelope: Envelope = serde_json::from_str(&delivery.content).map_err(|_| "damaged")?;
        let meeting = self.store.meeting(&envelope.meeting).await.map_err(store)?;
        let invitation = self.store.invitation(&envelope.invitation).await.map_err(store)?;
        let exceptions = self.store.exceptions(&envelope.meeting).await.map_err(store)?;
        let is_cancelled = delivery.kind == CANCEL;
        if !is_still_so(&meeting, &invitation, &envelope.address, is_cancelled) {
            return Ok(Prepared::Superseded);
        }
        let link = self.link(&invitation).await.map_err(store)?;
        let letter = Letter {
            id: &delivery.id,
            from: &self.from,
            to: &envelope.address,
            meeting: &meeting,
            exceptions: &exceptions,
            invitation: &invitation,
            link: &link,
            is_cancelled,
            now: Moment::now(),
        };
        Ok(Prepared::Message(Box::new(letter.write().ok_or("unwritable")?)))
    }

    async fn link(&self, invitation: &Invitation) -> Result<String, StoreError> {
        let sealed = self.store.link(&invitation.id).await?;
        let link = sealed.and_then(|sealed| self.vault.open_link(&invitation.id, &sealed));
        Ok(self.links.personal(&invitation.meeting, link.as_ref()))
    }
}

impl Carrier for Smtp {
    const CHANNEL: Channel = Channel::Mail;

    async fn carry(&self, delivery: &Delivery) -> Outcome {
        match self.prepare(delivery).await {
            Ok(Prepared::Message(message)) => match self.transport.send(*message).await {
                Ok(_) => Outcome::Delivered,
                Err(error) => failed(&error),
            },
            Ok(Prepared::Superseded) => Outcome::Superseded,
            Err(failure) => Outcome::Failed(failure),
        }
    }
}

fn failed(error: &smtp::Error) -> Outcome {
    if let Some(code) = error.status() {
        let code = u16::from(code);
        let failure = Failure::from(format!("smtp_{code}"));
        return if FINAL.contains(&code) { Outcome::Refused(failure) } else { Outcome::Failed(failure) };
    }
    let word = match () {
        () if error.is_timeout() => "timeout",
        () if error.is_tls() => "tls",
        () if error.is_response() => "answer",
        () => "unreachable",
    };
    Outcome::Failed(word.into())
}
