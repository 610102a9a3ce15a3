//! Layers that registries may not give away: fetched from where the image says, by those who have leave.

use std::io::Read;
use std::sync::Arc;

use forger_block::BlockRead;

use crate::blob::{Blobs, Images};
use crate::http::{Client, Url};
use crate::registry::open_url;
use crate::{Descriptor, Digest, Error, Result};

/// Returns the URLs under which a blob is to be had, where its descriptor names any.
pub(crate) fn urls(blob: &Descriptor) -> Option<&[String]> {
    blob.urls().as_deref().filter(|urls| !urls.is_empty())
}

/// A place that has images, whose blobs come from the URLs in their descriptors where the place has them not.
///
/// An image may name any host, also one that only this machine reaches: this is for those who say so. Nobody's credentials
/// go there, and what comes is verified like everything else.
#[derive(Debug)]
pub struct WithForeign {
    inner: Arc<dyn Images>,
    client: Arc<Client>,
}

impl WithForeign {
    /// Looks into `inner` first.
    #[must_use]
    pub fn new(inner: Arc<dyn Images>, client: Arc<Client>) -> Self {
        Self { inner, client }
    }

    /// Opens the first URL that answers.
    fn fetch(&self, urls: &[String]) -> Result<Box<dyn Read + Send>> {
        let mut last = None;
        for url in urls {
            let opened = Url::parse(url)
                .map_err(Into::into)
                .and_then(|url| open_url(&self.client, &url));
            match opened {
                Ok((reader, _)) => return Ok(reader),
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) => Err(error.into()),
            None => Err(Error::invalid("a layer", "it has no URL")),
        }
    }
}

impl Blobs for WithForeign {
    fn open_raw(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        match (self.inner.open_raw(blob), urls(blob)) {
            (Err(Error::Missing { .. }), Some(urls)) => self.fetch(urls),
            (opened, _) => opened,
        }
    }

    fn open_raw_at(&self, blob: &Descriptor, offset: u64) -> Result<Option<Box<dyn Read + Send>>> {
        match (self.inner.open_raw_at(blob, offset), urls(blob)) {
            (Err(Error::Missing { .. }), Some(_)) => Ok(None),
            (opened, _) => opened,
        }
    }

    fn standing(&self, blob: &Descriptor) -> Result<Option<Arc<dyn BlockRead>>> {
        self.inner.standing(blob)
    }

    fn place(&self) -> String {
        self.inner.place()
    }
}

impl Images for WithForeign {
    fn root(&self) -> Result<Descriptor> {
        self.inner.root()
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        self.inner.referrers(subject)
    }
}
