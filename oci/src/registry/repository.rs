//! Blobs and manifests of one repository.

use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

use super::authority::{Authority, Scope};
use super::download::{Download, OfRegistry};
use super::upload::{CHUNK, LONGEST_CHUNK, Upload};
use super::{Endpoint, Error, Keychain, listing, referrers};
use crate::blob::{self, BlobSink, Blobs, ImageSink, Images, MANIFEST_LIMIT};
use crate::http::{Body, Client, Method, Request, Response, Url};
use crate::manifest::{Manifest, parse};
use crate::media_type::{self, is_manifest};
use crate::{Descriptor, Digest, MediaType, Reference, Result};

/// How many tags are listed.
const TAGS: usize = 1_000_000;

/// How a repository is used.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Speaks TLS with this machine as well, which gets plain HTTP otherwise.
    pub tls: bool,
    /// Sends blobs in chunks of so many bytes from the start, not only when they cannot be sent whole.
    pub chunk: Option<u64>,
    /// Repositories of the same registry that may have the blobs already.
    pub mount_from: Vec<String>,
}

impl Options {
    /// Checks that the values make sense.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`].
    pub fn validate(&self) -> Result<()> {
        match self.chunk {
            Some(chunk) if !(1..=LONGEST_CHUNK).contains(&chunk) => {
                let reason = format!("chunks have 1 to {LONGEST_CHUNK} bytes, {CHUNK} as a rule");
                Err(crate::Error::invalid("chunk-size", reason))
            }
            _ => Ok(()),
        }
    }
}

/// One repository of a registry: a place that has images, and takes them.
#[derive(Debug)]
pub struct Repository {
    authority: Arc<Authority>,
    reference: Reference,
    options: Options,
    /// The manifest that the reference names: registries count how often they are asked for it.
    root: Mutex<Option<Fetched>>,
}

/// A manifest and what it is.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub(super) descriptor: Descriptor,
    pub(super) bytes: Vec<u8>,
}

impl Repository {
    /// Names a repository, and one of its images; nothing is asked yet.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] for options, [`Error::Http`] for a host that is none.
    pub fn new(
        client: Arc<Client>,
        reference: &Reference,
        keychain: Arc<dyn Keychain>,
        options: Options,
    ) -> Result<Self> {
        options.validate()?;
        let endpoint = Endpoint::new(&client, reference.host(), options.tls)?;
        let authority = Authority::new(client, endpoint, reference.repository(), keychain);
        Ok(Self {
            authority: Arc::new(authority),
            reference: reference.clone(),
            options,
            root: Mutex::default(),
        })
    }

    /// Asks a registry whether it knows the user.
    ///
    /// # Errors
    /// [`Error::Unauthorized`], or why there was no answer.
    pub fn log_in(
        client: &Arc<Client>,
        host: &str,
        keychain: Arc<dyn Keychain>,
        tls: bool,
    ) -> Result<()> {
        let endpoint = Endpoint::new(client, host, tls)?;
        let url = endpoint.base().clone();
        let authority = Authority::new(Arc::clone(client), endpoint, "its users", keychain);
        let response = authority.send(&Request::new(Method::Get, url), &Scope::none())?;
        match response.status() {
            200 => Ok(()),
            _ => Err(authority.refusal(Method::Get, response).into()),
        }
    }

    /// Returns the image that is meant.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Returns the tags, in the registry's order.
    ///
    /// # Errors
    /// Whatever is wrong with the registry; [`Error::Endless`].
    pub fn tags(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let url = self.authority.endpoint().tags(self.name())?;
        let mut tags = Vec::new();
        listing::pages(
            &self.authority,
            &Scope::pull(self.name()),
            url,
            TAGS,
            |_| true,
            |url, bytes| {
                let page: Page = parse(&url.to_string(), bytes)?;
                let page = page.tags.unwrap_or_default();
                let count = page.len();
                tags.extend(page);
                Ok(count)
            },
        )?;
        Ok(tags)
    }

    /// Removes the manifest of the reference's digest, or its tag where it has none.
    ///
    /// # Errors
    /// [`Error::Refused`]: many registries remove nothing, or no tags.
    pub fn remove(&self) -> Result<()> {
        let url = self.manifest_url(&self.reference_name())?;
        let scope = Scope::delete(self.name());
        let response = self
            .authority
            .send(&Request::new(Method::Delete, url), &scope)?;
        match response.status() {
            200 | 202 | 204 => Ok(()),
            404 => Err(self.missing()),
            _ => Err(self.authority.refusal(Method::Delete, response).into()),
        }
    }

    /// The repository's name in its registry.
    pub(super) fn name(&self) -> &str {
        self.reference.repository()
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn uploads(&self) -> std::result::Result<Url, Error> {
        Ok(self.authority.endpoint().uploads(self.name())?)
    }

    pub(super) fn referrers_url(&self, subject: &Digest) -> Result<Url> {
        Ok(self.authority.endpoint().referrers(self.name(), subject)?)
    }

    fn manifest_url(&self, name: &str) -> Result<Url> {
        Ok(self.authority.endpoint().manifest(self.name(), name)?)
    }

    /// The digest or tag that decides.
    fn reference_name(&self) -> String {
        match self.reference.digest() {
            Some(digest) => digest.to_string(),
            None => self.reference.tag().unwrap_or_default().to_owned(),
        }
    }

    fn missing(&self) -> crate::Error {
        crate::Error::Missing {
            what: format!("image {:?}", self.reference_name()),
            place: self.reference.name(),
        }
    }

    /// Fetches a manifest by tag or digest; none where there is none.
    pub(super) fn fetch(&self, name: &str) -> Result<Option<Fetched>> {
        let accepted = [
            MediaType::ImageIndex.as_ref(),
            MediaType::ImageManifest.as_ref(),
            media_type::DOCKER_LIST,
            media_type::DOCKER_MANIFEST,
        ];
        let request = Request::new(Method::Get, self.manifest_url(name)?)
            .header("accept", accepted.join(", "));
        let mut response = self.authority.send(&request, &Scope::pull(self.name()))?;
        match response.status() {
            200 => {}
            404 => return Ok(None),
            _ => return Err(self.authority.refusal(Method::Get, response).into()),
        }
        let bytes = response.bytes(MANIFEST_LIMIT)?;
        let digest = match name.parse::<Digest>() {
            Ok(digest) => digest,
            Err(_) => Digest::of(&bytes),
        };
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let media_type = media_type_of(&response, &bytes)?;
        let fetched = Fetched {
            descriptor: Descriptor::new(media_type, size, digest),
            bytes,
        };
        let mut verifier = blob::Verifier::new(&fetched.descriptor)?;
        verifier.update(&fetched.bytes)?;
        verifier.finish()?;
        // A digest of another kind than ours proves nothing either way.
        let said = response
            .header("docker-content-digest")
            .map(str::parse::<Digest>);
        match said {
            Some(Ok(said)) if said.algorithm() == digest.algorithm() && said != digest => {
                Err(crate::Error::Mismatch {
                    digest: said.to_string(),
                    found: digest.to_string(),
                })
            }
            _ => Ok(Some(fetched)),
        }
    }

    /// Stores a manifest under a tag or its digest, and lists it with what it refers to.
    pub(super) fn store(&self, name: &str, media_type: &MediaType, bytes: &[u8]) -> Result<Digest> {
        let digest = match name.parse::<Digest>() {
            Ok(digest) => digest,
            Err(_) => Digest::of(bytes),
        };
        let request = Request::new(Method::Put, self.manifest_url(name)?)
            .header("content-type", media_type.as_ref())
            .body(Body::Bytes(bytes));
        let response = self.authority.send(&request, &Scope::push(self.name()))?;
        if !response.is_success() {
            return Err(self.authority.refusal(Method::Put, response).into());
        }
        check_stored(&response, &digest)?;
        let knows_subjects = response.header("oci-subject").is_some();
        let what = format!("manifest {digest}");
        if !knows_subjects
            && let Ok(manifest) = Manifest::parse(&what, media_type, bytes)
            && let Some(subject) = manifest.subject()
        {
            let descriptor = referring(&manifest, media_type, bytes, digest);
            referrers::add(self, &Digest::try_from(subject.digest())?, &descriptor)?;
        }
        Ok(digest)
    }

    /// Tells whether the repository has a blob, as long as it should be.
    pub(super) fn has_blob(&self, digest: &Digest, size: u64) -> std::result::Result<bool, Error> {
        let url = self.authority.endpoint().blob(self.name(), digest)?;
        let request = Request::new(Method::Head, url);
        let response = self.authority.send(&request, &Scope::push(self.name()))?;
        match response.status() {
            200 => Ok(response.length().is_none_or(|length| length == size)),
            404 => Ok(false),
            _ => Err(self.authority.refusal(Method::Head, response)),
        }
    }

    fn download(&self, blob: &Descriptor, offset: u64) -> Result<Option<Download>> {
        let digest = Digest::try_from(blob.digest())?;
        let url = self.authority.endpoint().blob(self.name(), &digest)?;
        let ask = OfRegistry {
            authority: Arc::clone(&self.authority),
            scope: Scope::pull(self.name()),
        };
        match Download::open(Box::new(ask), url, blob.size(), offset) {
            Err(Error::Refused { status: 404, .. }) => Err(crate::Error::Missing {
                what: format!("blob {digest}"),
                place: self.reference.name(),
            }),
            download => Ok(download?),
        }
    }

    fn cached_root(&self) -> Option<Fetched> {
        let root = self.root.lock().unwrap_or_else(PoisonError::into_inner);
        root.clone()
    }
}

impl Blobs for Repository {
    fn open_raw(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        if !is_manifest(blob.media_type()) {
            let download = self.download(blob, 0)?;
            return match download {
                Some(download) => Ok(Box::new(download)),
                None => Err(self.missing()),
            };
        }
        if let Some(root) = self.cached_root()
            && root.descriptor.digest() == blob.digest()
        {
            return Ok(Box::new(Cursor::new(root.bytes)));
        }
        match self.fetch(blob.digest().as_ref())? {
            Some(fetched) => Ok(Box::new(Cursor::new(fetched.bytes))),
            None => Err(crate::Error::Missing {
                what: format!("manifest {}", blob.digest()),
                place: self.reference.name(),
            }),
        }
    }

    fn open_raw_at(&self, blob: &Descriptor, offset: u64) -> Result<Option<Box<dyn Read + Send>>> {
        if is_manifest(blob.media_type()) {
            return Ok(None);
        }
        let download = self.download(blob, offset)?;
        Ok(download.map(|download| -> Box<dyn Read + Send> { Box::new(download) }))
    }

    fn place(&self) -> String {
        self.reference.to_string()
    }
}

impl Images for Repository {
    fn root(&self) -> Result<Descriptor> {
        if let Some(root) = self.cached_root() {
            return Ok(root.descriptor);
        }
        let fetched = self.fetch(&self.reference_name())?;
        let fetched = fetched.ok_or_else(|| self.missing())?;
        let descriptor = fetched.descriptor.clone();
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) = Some(fetched);
        Ok(descriptor)
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        referrers::list(self, subject)
    }
}

impl BlobSink for Repository {
    fn has(&self, blob: &Descriptor) -> Result<bool> {
        let digest = Digest::try_from(blob.digest())?;
        if !is_manifest(blob.media_type()) {
            return Ok(self.has_blob(&digest, blob.size())?);
        }
        let url = self.manifest_url(&digest.to_string())?;
        let request = Request::new(Method::Head, url).header("accept", blob.media_type().as_ref());
        let response = self.authority.send(&request, &Scope::push(self.name()))?;
        match response.status() {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(self.authority.refusal(Method::Head, response).into()),
        }
    }

    fn put(&self, blob: &Descriptor, from: &dyn Blobs) -> Result<()> {
        if self.has(blob)? {
            return Ok(());
        }
        let digest = Digest::try_from(blob.digest())?;
        if is_manifest(blob.media_type()) {
            let bytes = blob::read(from, blob, MANIFEST_LIMIT)?;
            self.store(&digest.to_string(), blob.media_type(), &bytes)?;
            return Ok(());
        }
        let upload = Upload {
            repository: self,
            blob,
            digest,
            from,
        };
        upload.run()
    }
}

impl ImageSink for Repository {
    fn publish(&self, root: &Descriptor, from: &dyn Blobs) -> Result<()> {
        let digest = Digest::try_from(root.digest())?;
        if let Some(wanted) = self.reference.digest()
            && *wanted != digest
        {
            return Err(crate::Error::Mismatch {
                digest: wanted.to_string(),
                found: digest.to_string(),
            });
        }
        let bytes = blob::read(from, root, MANIFEST_LIMIT)?;
        let name = match self.reference.tag() {
            Some(tag) => tag.to_owned(),
            None => digest.to_string(),
        };
        self.store(&name, root.media_type(), &bytes)?;
        Ok(())
    }
}

/// Checks that what a registry says it stored is what it was given.
pub(super) fn check_stored(response: &Response, digest: &Digest) -> std::result::Result<(), Error> {
    let said = response
        .header("docker-content-digest")
        .map(str::parse::<Digest>);
    match said {
        Some(Ok(said)) if said.algorithm() == digest.algorithm() && said != *digest => {
            Err(Error::Stored {
                url: response.url().to_string(),
                digest: digest.to_string(),
                stored: said.to_string(),
            })
        }
        _ => Ok(()),
    }
}

/// Returns what a manifest is: its own word, else the header's.
fn media_type_of(response: &Response, bytes: &[u8]) -> Result<MediaType> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Own {
        media_type: Option<String>,
    }
    let own: Own = parse(&response.url().to_string(), bytes)?;
    let header = response.header("content-type").unwrap_or_default();
    let header = header.split(';').next().unwrap_or_default().trim();
    let word = own.media_type.unwrap_or_else(|| header.to_owned());
    let media_type = MediaType::from(word.as_str());
    if is_manifest(&media_type) {
        return Ok(media_type);
    }
    // Neither says it: the shape does.
    Ok(match Manifest::parse("manifest", &media_type, bytes)? {
        Manifest::Index(_) => MediaType::ImageIndex,
        Manifest::Image(_) => MediaType::ImageManifest,
    })
}

/// Describes a manifest to those who look for what refers to its subject.
fn referring(
    manifest: &Manifest,
    media_type: &MediaType,
    bytes: &[u8],
    digest: Digest,
) -> Descriptor {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let mut descriptor = Descriptor::new(media_type.clone(), size, digest);
    descriptor.set_artifact_type(manifest.artifact_type().cloned());
    let annotations = match manifest {
        Manifest::Index(index) => index.annotations(),
        Manifest::Image(image) => image.annotations(),
    };
    descriptor.set_annotations(annotations.clone());
    descriptor
}
