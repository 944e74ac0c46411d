//! The registry of rooms and the task that runs each one.
