//! What refers to a manifest: the API, or an index under a tag where there is none
//! ([distribution-spec, "Listing Referrers"](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers)).

use serde_json::{Value, json};

use super::authority::Scope;
use super::listing;
use super::repository::Repository;
use crate::manifest::{canonical, parse, parse_value};
use crate::{Descriptor, Digest, ImageIndex, MediaType, Result};

/// How many referrers are taken.
const LIMIT: usize = 10_000;

/// Returns what refers to a manifest.
pub(super) fn list(repository: &Repository, subject: &Digest) -> Result<Vec<Descriptor>> {
    let url = repository.referrers_url(subject)?;
    let scope = Scope::pull(repository.name());
    let (mut found, mut has_api) = (Vec::new(), true);
    listing::pages(
        repository.authority(),
        &scope,
        url,
        LIMIT,
        |response| {
            // Some that have no such API answer with a page, or refuse what they do not know.
            let index = response.header("content-type").unwrap_or_default();
            let absent = matches!(response.status(), 400 | 404 | 405 | 501);
            has_api = !absent && (response.status() != 200 || index.contains("json"));
            has_api
        },
        |url, bytes| {
            let index: ImageIndex = parse(&url.to_string(), bytes)?;
            found.extend(index.manifests().iter().cloned());
            Ok(index.manifests().len())
        },
    )?;
    if has_api {
        return Ok(found);
    }
    Ok(match repository.fetch(&fallback_tag(subject))? {
        Some(fetched) => {
            let index: ImageIndex = parse("index of referrers", &fetched.bytes)?;
            index.manifests().iter().take(LIMIT).cloned().collect()
        }
        None => Vec::new(),
    })
}

/// Adds a manifest to the index of what refers to its subject.
pub(super) fn add(
    repository: &Repository,
    subject: &Digest,
    descriptor: &Descriptor,
) -> Result<()> {
    let tag = fallback_tag(subject);
    let mut index = match repository.fetch(&tag)? {
        Some(fetched) => parse_value("index of referrers", &fetched.bytes)?,
        None => json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageIndex.to_string(),
            "manifests": [],
        }),
    };
    let Some(Value::Array(manifests)) = index.get_mut("manifests") else {
        let reason = format!("what is tagged {tag} lists no manifests");
        return Err(crate::Error::invalid("index of referrers", reason));
    };
    let digest = descriptor.digest().to_string();
    if manifests
        .iter()
        .any(|entry| entry["digest"] == digest.as_str())
    {
        return Ok(());
    }
    manifests.push(serde_json::to_value(descriptor).unwrap_or_default());
    let bytes = canonical(&index);
    repository.store(&tag, &MediaType::ImageIndex, &bytes)?;
    Ok(())
}

/// The tag under which registries without the API keep the index.
fn fallback_tag(subject: &Digest) -> String {
    subject.to_string().replace(':', "-")
}
