//! forger.
