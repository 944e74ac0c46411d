//! Counters for metrics.
