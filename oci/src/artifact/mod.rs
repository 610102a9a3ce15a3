//! Single files as artifacts: disk images and WebAssembly
//! ([image-spec, "Guidelines for Artifact Usage"](https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidelines-for-artifact-usage)).
//!
//! | | configuration | layer |
//! |---|---|---|
//! | disk image | `application/vnd.cloudnebula.qcow2.config.v1+json` | `application/vnd.cloudnebula.qcow2.layer.v1` |
//! | WebAssembly | `application/vnd.wasm.config.v0+json` | `application/wasm` |
//! | bundle | `application/vnd.oci.empty.v1+json` | `application/vnd.forger.bundle.v1.tar+zstd` |
//! | kernel | `application/vnd.oci.empty.v1+json` | `application/vnd.forger.kernel.v1.tar+zstd` |
//!
//! The layer's `org.opencontainers.image.title` is the file's name. The file is never held in memory.

mod disk;
mod found;
mod packed;
mod wasm;

pub use disk::{DISK_CONFIG, DISK_LAYER, DiskFacts};
pub use found::{ArtifactFile, Kind};
pub use packed::Packed;
pub use wasm::{WASM_CONFIG, WASM_LAYER, WasmKind};

/// The annotation that names a layer's file.
pub const TITLE: &str = "org.opencontainers.image.title";
/// The media type of a bundle: a root filesystem and its manifest.
pub const BUNDLE_LAYER: &str = "application/vnd.forger.bundle.v1.tar+zstd";
/// The media type of a kernel bundle: a kernel, its modules, and what is known of them.
pub const KERNEL_LAYER: &str = "application/vnd.forger.kernel.v1.tar+zstd";
/// What any bytes are.
const ANY_BYTES: &str = "application/octet-stream";
