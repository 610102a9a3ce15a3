//! Disk images as artifacts.

use serde::{Deserialize, Serialize};

/// The media type of a disk image's configuration.
pub const DISK_CONFIG: &str = "application/vnd.cloudnebula.qcow2.config.v1+json";
/// The media type of a disk image.
pub const DISK_LAYER: &str = "application/vnd.cloudnebula.qcow2.layer.v1";

/// What the configuration of a disk image says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFacts {
    /// What it is called.
    pub name: String,
    /// Which version of it this is.
    pub version: String,
    /// The processor it is for, as Go calls it (`amd64`).
    pub architecture: String,
    /// The operating system on it (`linux`).
    pub os: String,
    /// What it is good for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
