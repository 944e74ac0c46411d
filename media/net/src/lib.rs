//! Threads, sockets, batches and the only clock of the media path.
//!
//! [`start`] binds one UDP port per worker and runs each [`consilium_media_core::worker::Worker`] on a thread of its own.
//! The control side holds a [`handle::MediaHandle`] and receives events from one bounded channel.

pub mod handle;
