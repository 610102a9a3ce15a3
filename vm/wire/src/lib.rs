//! The frames of the channel between a guest and its host.

#![forbid(unsafe_code)]
