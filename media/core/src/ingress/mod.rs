//! Tracks coming in: what is known of each encoding, what is missing of it, what is kept of it.

pub mod cache;
pub mod clock;
pub mod keyframes;
pub mod level;
pub mod loss;
pub mod rate;
pub mod reception;
pub mod round_trip;
pub mod stream;
pub mod track;
