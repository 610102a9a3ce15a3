//! OCI images: objects, layouts, layers and registries.
//!
//! Blobs come out of a [`blob::Blobs`], verified whenever they are read, and go into a [`blob::BlobSink`], which publishes
//! them whole. Layouts, archives and registries are such places; [`Transport`] is how users name them.
#![forbid(unsafe_code)]

pub mod artifact;
pub mod blob;
pub mod http;
pub mod image;
pub mod layer;
pub mod layout;
pub mod manifest;
pub mod media_type;
pub mod registry;
pub mod rootless;
pub mod workshop;

mod copy;
mod digest;
mod docker_archive;
mod error;
mod foreign;
mod platform;
mod range;
mod reference;
mod transport;

pub use oci_spec::image::{
    Descriptor, History, ImageConfiguration, ImageIndex, ImageManifest, MediaType,
};

pub use copy::{Copied, CopyOptions, CopyPlan};
pub use digest::{Algorithm, Digest, Hasher};
pub use docker_archive::DockerArchive;
pub use error::{Error, Result};
pub use foreign::WithForeign;
pub use platform::Platform;
pub use reference::{DEFAULT_HOST, DEFAULT_TAG, Reference};
pub use transport::{Name, Transport};
