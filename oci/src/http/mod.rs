//! The project's one HTTP client: synchronous, with its own rules for redirects, retries, proxies
//! and plain HTTP.
//!
//! | file | concept |
//! |---|---|
//! | `url` | absolute URLs, references, origins |
//! | `host` | which hosts are this machine |
//! | `proxy` | which proxy stands in between |
//! | `roots` | the certificates that are trusted |
//! | `retry` | when a request is made again |
//! | `message` | [`Request`] and [`Response`] |
//! | `exchange` | one request, one answer: where the library that speaks HTTP is used |
//! | `client` | [`Client`]: redirects and retries around exchanges |
//! | `secret` | what is never printed |
//!
//! # What it decides
//!
//! - Plain HTTP goes to loopback hosts only, unless [`Options::plain_http`] is set; never from
//!   HTTPS to HTTP by a redirect.
//! - An `Authorization` goes to the origin it was given for: a redirect to another one loses it.
//! - An answer that may well be another one in a moment is waited for as [`Schedule`] says, and
//!   [`Clock`] waits. 401 and 403 never are.
//! - What can be read is bounded by whoever reads; headers by 64 KiB.
//!
//! It reads no environment, and the clock only through [`Clock`].
mod client;
mod error;
mod exchange;
mod host;
mod message;
mod proxy;
mod retry;
mod roots;
mod secret;
mod url;

pub use client::{Client, Clock, Options};
pub use error::Error;
pub use host::is_loopback;
pub use message::{Body, Method, Opener, Request, Response};
pub use proxy::Proxies;
pub use retry::{Schedule, is_transient};
pub use roots::Roots;
pub use secret::Secret;
pub use url::{Origin, Url, percent_encoded};
