//! Audio fan-out: channels, seats, shared frames and history
