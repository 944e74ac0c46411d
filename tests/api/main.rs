//! The HTTP surface of a running server over real sockets, and the store below it on each database.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise, helpers included")]

mod api_keys;
mod attendance;
mod backchannel;
mod backup;
mod browser;
mod calendars;
mod cases;
mod databases;
mod described;
mod events;
mod exposition;
mod harness;
mod invitations;
mod killed;
mod live;
mod lobby;
mod mailbox;
mod mails;
mod meetings;
mod oidc;
mod outbox;
mod outcomes;
mod ownership;
mod process;
mod provider;
mod receiver;
mod retention;
mod sentinels;
mod session;
mod socket;
mod store;
mod surface;
mod team;
mod users;
mod verified;
mod walk;
mod webhooks;
mod withheld;
