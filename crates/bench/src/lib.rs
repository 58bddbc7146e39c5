//! Benchmarks of the hot paths, beside their floor
