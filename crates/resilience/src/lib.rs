//! Retry, circuit breaker and degradation as wrappers of the ports
