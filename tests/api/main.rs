//! The HTTP surface of a running server over real sockets, and the store below it on each database.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise, helpers included")]

mod api_keys;
mod attendance;
mod backup;
mod cases;
mod databases;
mod described;
mod events;
mod exposition;
mod harness;
mod invitations;
mod killed;
mod meetings;
mod outcomes;
mod retention;
mod sentinels;
mod store;
mod surface;
mod team;
mod walk;
