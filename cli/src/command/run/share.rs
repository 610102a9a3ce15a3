//! What is mounted beside the root: copies of folders and tars, and caches.

use std::ffi::OsString;

use forger_vm::{Guest, Mounted};

use super::Args;
use crate::args::source::{Named, SourceArgs};
use crate::exit::Failure;
use crate::guest::cache::Cache;
use crate::guest::failure;
use crate::guest::root::{self, Planned};
use crate::input::Way;
use crate::progress::Console;
use crate::signals::Signals;

/// One share, as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    from: String,
    to: String,
    read_only: bool,
}

/// Reads `--mount`.
pub(super) fn mount(text: &str) -> Result<Share, String> {
    let (text, read_only) = match text.strip_suffix(":ro") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    share(text, read_only).ok_or_else(|| "expected SRC:DEST or SRC:DEST:ro".to_owned())
}

/// Reads `--cache`.
pub(super) fn cache(text: &str) -> Result<Share, String> {
    share(text, false).ok_or_else(|| "expected NAME:DEST".to_owned())
}

fn share(text: &str, read_only: bool) -> Option<Share> {
    let (from, to) = text.rsplit_once(':')?;
    let absolute = to.starts_with('/') && to != "/";
    (absolute && !from.is_empty()).then(|| Share {
        from: from.to_owned(),
        to: to.to_owned(),
        read_only,
    })
}

/// All shares, open.
pub(super) struct Shares {
    mounts: Vec<(Planned, Share)>,
    caches: Vec<(Cache, Share)>,
}

impl Shares {
    /// Opens them.
    pub(super) fn open(args: &Args, console: &mut Console) -> Result<Self, Failure> {
        let mut mounts = Vec::new();
        for share in &args.mount {
            let named = Named::any(OsString::from(&share.from));
            let size = root::size(args.free);
            // A working folder changes: the guest sees it as it was at its start.
            let way = Way::Once;
            let planned = Planned::open(&named, &SourceArgs::default(), size, way, console)?;
            mounts.push((planned, share.clone()));
        }
        let open = |share: &Share| Ok((Cache::open(&share.from)?, share.clone()));
        let caches = args
            .cache
            .iter()
            .map(open)
            .collect::<Result<_, Failure>>()?;
        Ok(Self { mounts, caches })
    }

    /// Returns what is mounted in the guest.
    pub(super) fn mounted(&self) -> Result<Vec<Mounted>, Failure> {
        let mut mounted = Vec::new();
        for (planned, share) in &self.mounts {
            mounted.push(Mounted {
                disk: Some(planned.disk(share.read_only)?),
                target: share.to.clone().into_bytes(),
            });
        }
        for (cache, share) in &self.caches {
            mounted.push(Mounted {
                disk: Some(root::overlay(&cache.base, false)?),
                target: share.to.clone().into_bytes(),
            });
        }
        Ok(mounted)
    }

    /// Tells whether anything of them outlives the guest.
    pub(super) fn are_kept(&self) -> bool {
        !self.caches.is_empty()
    }

    /// Keeps the caches.
    pub(super) fn keep(&self, guest: &Guest, signals: &Signals) -> Result<(), Failure> {
        // The root is the first disk, then come the mounts.
        let first = self.mounts.len() + 1;
        for (number, (cache, share)) in self.caches.iter().enumerate() {
            let disk = guest
                .disk(first + number)
                .map_err(|error| failure(format!("cannot keep the cache {}", share.from), error))?;
            cache.keep(&disk, signals)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read() {
        let found = mount("a:b:/c:ro").unwrap();
        assert_eq!(
            (found.from.as_str(), found.to.as_str(), found.read_only),
            ("a:b", "/c", true)
        );
        assert!(!mount("a:/c").unwrap().read_only);
        for text in ["a", "a:c", "a:/", ":/c", "a:ro", "/c"] {
            assert!(mount(text).is_err(), "{text}");
        }
        assert_eq!(cache("cargo:/var/cache/cargo").unwrap().from, "cargo");
    }
}
