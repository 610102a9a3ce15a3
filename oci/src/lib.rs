//! OCI images: objects, layouts, layers and registries.

#![forbid(unsafe_code)]
