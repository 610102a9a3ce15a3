//! The suite that every implementor runs.
