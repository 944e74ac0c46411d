//! Subscriptions going out: what of a track a subscriber gets, and under which numbers.

pub mod allocation;
pub mod held;
pub mod history;
pub mod ladder;
pub mod layers;
pub mod packet;
pub mod patience;
pub mod playout;
pub mod rewrite;
pub mod send;
pub mod stamps;
pub mod subscription;
