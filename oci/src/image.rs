//! Images as they are changed: a configuration, layers, and the manifest that ties them together.
//!
//! What is not known of a document stays as it is: documents are changed as JSON, and written in one form.

use serde_json::{Map, Value, json};

use crate::blob::{self, Blobs, MANIFEST_LIMIT};
use crate::layer::Written;
use crate::manifest::{Manifest, canonical, parse, parse_value};
use crate::workshop::Workshop;
use crate::{
    Descriptor, Digest, Error, ImageConfiguration, ImageManifest, MediaType, Platform, Result,
};

/// An image that is changed.
#[derive(Clone, Debug)]
pub struct Draft {
    config: Value,
    layers: Vec<Value>,
    manifest: Map<String, Value>,
    config_type: MediaType,
    manifest_type: MediaType,
}

impl Draft {
    /// Begins an image without layers.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        let mut config = json!({
            "os": platform.os,
            "architecture": platform.architecture,
            "rootfs": { "type": "layers", "diff_ids": [] },
        });
        if let (Some(variant), Some(config)) = (&platform.variant, config.as_object_mut()) {
            config.insert("variant".to_owned(), variant.as_str().into());
        }
        Self {
            config,
            layers: Vec::new(),
            manifest: Map::new(),
            config_type: MediaType::ImageConfig,
            manifest_type: MediaType::ImageManifest,
        }
    }

    /// Begins with an image as it is.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn of(blobs: &(impl Blobs + ?Sized), descriptor: &Descriptor) -> Result<Self> {
        let bytes = blob::read(blobs, descriptor, MANIFEST_LIMIT)?;
        let what = format!("manifest {}", descriptor.digest());
        let Manifest::Image(image) = Manifest::parse(&what, descriptor.media_type(), &bytes)?
        else {
            return Err(Error::invalid(what, "it is an index"));
        };
        crate::manifest::config(blobs, &image)?;
        let config = blob::read(blobs, image.config(), MANIFEST_LIMIT)?;
        let config = parse_value(
            &format!("configuration {}", image.config().digest()),
            &config,
        )?;
        let Value::Object(mut manifest) = parse_value(&what, &bytes)? else {
            return Err(Error::invalid(what, "it is no object"));
        };
        manifest.remove("config");
        let layers = match manifest.remove("layers") {
            Some(Value::Array(layers)) => layers,
            _ => Vec::new(),
        };
        Ok(Self {
            config,
            layers,
            manifest,
            config_type: image.config().media_type().clone(),
            manifest_type: descriptor.media_type().clone(),
        })
    }

    /// Adds a layer on top, and what its history says.
    pub fn append(&mut self, layer: &Written, history: Value) {
        let mut descriptor = serde_json::to_value(&layer.descriptor).unwrap_or_default();
        if self.manifest_type != MediaType::ImageManifest {
            // An image of docker's has layers of docker's types.
            let docker = match layer.descriptor.media_type() {
                MediaType::ImageLayerGzip => crate::media_type::DOCKER_LAYER_GZIP,
                MediaType::ImageLayerZstd => crate::media_type::DOCKER_LAYER_ZSTD,
                _ => crate::media_type::DOCKER_LAYER,
            };
            if let Some(descriptor) = descriptor.as_object_mut() {
                descriptor.insert("mediaType".to_owned(), docker.into());
            }
        }
        self.layers.push(descriptor);
        push(
            &mut self.config,
            &["rootfs", "diff_ids"],
            layer.diff_id.to_string().into(),
        );
        self.history(history);
    }

    /// Adds a step to the history.
    pub fn history(&mut self, history: Value) {
        push(&mut self.config, &["history"], history);
    }

    /// Removes all layers and their history.
    pub fn clear_layers(&mut self) {
        self.layers.clear();
        *slot(&mut self.config, &["rootfs", "diff_ids"]) = json!([]);
        *slot(&mut self.config, &["history"]) = json!([]);
    }

    /// Returns the value at a path of keys in the configuration; `null` where there is none yet.
    pub fn config_mut(&mut self, path: &[&str]) -> &mut Value {
        slot(&mut self.config, path)
    }

    /// Returns the manifest's annotations.
    pub fn annotations_mut(&mut self) -> &mut Map<String, Value> {
        let annotations = self
            .manifest
            .entry("annotations")
            .or_insert_with(|| json!({}));
        if !annotations.is_object() {
            *annotations = json!({});
        }
        annotations.as_object_mut().expect("it was made one")
    }

    /// Writes configuration and manifest, and returns what refers to the manifest.
    ///
    /// # Errors
    /// [`Error::Json`] when what was changed is no configuration any more; whatever is wrong with the place.
    pub fn write(mut self, place: &dyn Workshop) -> Result<Descriptor> {
        strip_empty(&mut self.config);
        let config = canonical(&self.config);
        let parsed: ImageConfiguration = parse("the configuration", &config)?;
        let config = place.put_bytes(self.config_type.clone(), &config)?;
        self.manifest.insert("schemaVersion".to_owned(), 2.into());
        self.manifest.insert(
            "mediaType".to_owned(),
            self.manifest_type.to_string().into(),
        );
        self.manifest.insert(
            "config".to_owned(),
            serde_json::to_value(&config).unwrap_or_default(),
        );
        self.manifest
            .insert("layers".to_owned(), Value::Array(self.layers));
        if self
            .manifest
            .get("annotations")
            .and_then(Value::as_object)
            .is_some_and(Map::is_empty)
        {
            self.manifest.remove("annotations");
        }
        let manifest = canonical(&self.manifest);
        let _: ImageManifest = parse("the manifest", &manifest)?;
        let mut root = place.put_bytes(self.manifest_type, &manifest)?;
        let platform = Platform::new(
            &parsed.os().to_string(),
            &parsed.architecture().to_string(),
            parsed.variant().as_deref(),
        );
        root.set_platform(Some(platform.to_spec()));
        Ok(root)
    }
}

/// Returns the digest of each layer, decompressed, of a configuration.
///
/// # Errors
/// [`Error::Digest`].
pub fn diff_ids(config: &ImageConfiguration) -> Result<Vec<Digest>> {
    config
        .rootfs()
        .diff_ids()
        .iter()
        .map(|id| id.parse())
        .collect()
}

fn slot<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Value {
    let mut value = value;
    for key in path {
        if !value.is_object() {
            *value = json!({});
        }
        let object = value.as_object_mut().expect("it was made one");
        value = object.entry(*key).or_insert(Value::Null);
    }
    value
}

fn push(value: &mut Value, path: &[&str], item: Value) {
    let list = slot(value, path);
    match list.as_array_mut() {
        Some(list) => list.push(item),
        None => *list = json!([item]),
    }
}

/// Leaves out what was set to nothing.
fn strip_empty(value: &mut Value) {
    if let Value::Object(map) = value {
        map.values_mut().for_each(strip_empty);
        map.retain(|_, value| !value.is_null());
    }
}
