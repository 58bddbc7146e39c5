//! The walk of every event through the rules, and the three ports it needs
