//! Registries ([distribution-spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md)): images
//! in, images out, with bounded memory.
//!
//! | file | concept |
//! |---|---|
//! | `credentials` | what is known of a user, and who is asked for it ([`Keychain`]) |
//! | `config_file` | docker's and podman's files of credentials, read and changed |
//! | `challenge` | `WWW-Authenticate` |
//! | `token` | the token service |
//! | `authority` | which `Authorization` a request gets, renewed when it is refused |
//! | `endpoint` | the URLs of a registry |
//! | `refusal` | what a registry says when it says no |
//! | `repository` | [`Repository`]: blobs and manifests of one repository |
//! | `download` | a blob's bytes, taken up again where a transfer broke |
//! | `upload`, `session` | a blob in one piece or in chunks |
//! | `listing` | tags, and answers of several pages |
//! | `referrers` | what refers to a manifest, with the fallback tag |
//!
//! # What it decides
//!
//! - A blob is looked for, then mounted from another repository, then sent whole, and only when that
//!   broke or was too much in chunks of 4 MiB; after each, the registry's `Range` is believed and nothing
//!   else. A registry that loses chunks gets the blob whole again.
//! - `Location` is taken as it is, relative or absolute; `digest` is added to its query.
//! - A download goes on where it broke, from the registry's own URL (a redirect's may have expired).
//! - A request is answered 401 once; then with a new token, or not at all.
mod authority;
mod challenge;
mod config_file;
mod credentials;
mod download;
mod endpoint;
mod error;
mod listing;
mod referrers;
mod refusal;
mod repository;
mod session;
#[cfg(test)]
mod tests;
mod token;
mod upload;

pub use challenge::Challenge;
pub use config_file::{ConfigFile, Entry, parse_auth_file};
pub use credentials::{Anonymous, Credentials, Keychain};
pub use download::open_url;
pub use endpoint::Endpoint;
pub use error::Error;
pub use repository::{Options, Repository};
