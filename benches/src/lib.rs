//! Benchmarks of the packet path.
