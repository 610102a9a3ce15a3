//! Kernels of guests: those that are kept, and which one a guest gets.

mod adding;
mod bundle;
mod fetch;
mod find;
mod store;
mod take;

pub(crate) use adding::{Adding, Keep};
pub(crate) use bundle::{entry, write};
pub(crate) use fetch::{fetch, verify};
pub(crate) use find::{Found, Takes, Wish, check_named, find, listed};
pub(crate) use store::{Facts, Kernels, Stored};
pub(crate) use take::{from_image, is_bundle, take};
