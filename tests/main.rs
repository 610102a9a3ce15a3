//! Integration tests: forger judged by independent tools.
mod sample;
