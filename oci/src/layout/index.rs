//! The list of a layout's images, and their names.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::manifest::Manifest;
use crate::{Descriptor, Digest, Error, Reference, Result};

/// The annotation that names an image in a layout.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation by which containerd names it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Returns the name of a manifest in a layout, where it has one.
#[must_use]
pub fn name_of(descriptor: &Descriptor) -> Option<&str> {
    annotation(descriptor, REF_NAME).or_else(|| annotation(descriptor, CONTAINERD_NAME))
}

fn annotation<'a>(descriptor: &'a Descriptor, key: &str) -> Option<&'a str> {
    descriptor
        .annotations()
        .as_ref()?
        .get(key)
        .map(String::as_str)
}

/// Tells whether a manifest is meant by a name.
pub(super) fn is_named(descriptor: &Descriptor, name: &str) -> bool {
    let own = [REF_NAME, CONTAINERD_NAME].map(|key| annotation(descriptor, key));
    let same = |own: &str| own == name || same_reference(own, name);
    own.into_iter().flatten().any(same)
}

/// Tells whether two names are one reference, written in two ways: `debian` and `docker.io/library/debian:latest`.
pub(crate) fn same_reference(one: &str, other: &str) -> bool {
    match (one.parse::<Reference>(), other.parse::<Reference>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// How a manifest is called in a list of what there is.
pub(super) fn shown(descriptor: &Descriptor) -> String {
    name_of(descriptor).map_or_else(|| descriptor.digest().to_string(), str::to_owned)
}

/// Makes of a manifest's descriptor what a list of referrers has: with its type of artifact and annotations.
pub(super) fn as_referrer(descriptor: &Descriptor, manifest: &Manifest) -> Descriptor {
    let annotations = match manifest {
        Manifest::Index(index) => index.annotations(),
        Manifest::Image(image) => image.annotations(),
    };
    let mut listed = Descriptor::new(
        descriptor.media_type().clone(),
        descriptor.size(),
        descriptor.digest().clone(),
    );
    listed.set_artifact_type(manifest.artifact_type().cloned());
    listed.set_annotations(
        annotations
            .clone()
            .filter(|all: &HashMap<_, _>| !all.is_empty()),
    );
    listed
}

/// Makes the text of an index without manifests.
pub(super) fn empty() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [],
    })
}

/// Lists a manifest in an index, in place of the one that has its name; what else stands there stays as it is.
pub(super) fn list(index: &mut Value, descriptor: &Descriptor, name: Option<&str>) -> Result<()> {
    let manifests = manifests(index)?;
    let mut entry = serde_json::to_value(descriptor).unwrap_or_default();
    if let Some(name) = name
        && let Some(entry) = entry.as_object_mut()
    {
        let annotations = entry
            .entry("annotations")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(REF_NAME.to_owned(), name.into());
        }
    }
    let digest = descriptor.digest().to_string();
    let same = |entry: &Value| match name {
        Some(name) => ref_name(entry) == Some(name),
        None => ref_name(entry).is_none() && digest_of(entry) == Some(&digest),
    };
    match manifests.iter_mut().find(|entry| same(entry)) {
        Some(old) => *old = entry,
        None => manifests.push(entry),
    }
    Ok(())
}

/// Takes manifests out of an index: by name, or all of one digest; returns how many.
pub(super) fn unlist(index: &mut Value, name: Option<&str>, digest: &Digest) -> Result<usize> {
    let manifests = manifests(index)?;
    let before = manifests.len();
    let digest = digest.to_string();
    manifests.retain(|entry| {
        digest_of(entry) != Some(&digest) || name.is_some_and(|name| ref_name(entry) != Some(name))
    });
    Ok(before.saturating_sub(manifests.len()))
}

fn manifests(index: &mut Value) -> Result<&mut Vec<Value>> {
    let fault = || Error::invalid("index.json", "it has no list of manifests");
    let object = index.as_object_mut().ok_or_else(fault)?;
    let list = object.entry("manifests").or_insert_with(|| json!([]));
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().ok_or_else(fault)
}

fn ref_name(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(REF_NAME)?.as_str()
}

fn digest_of(entry: &Value) -> Option<&str> {
    entry.get("digest")?.as_str()
}
