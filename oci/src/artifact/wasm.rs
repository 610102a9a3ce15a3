//! WebAssembly as artifacts.

/// The media type of a WebAssembly artifact's configuration, which is empty.
pub const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// The media type of WebAssembly.
pub const WASM_LAYER: &str = "application/wasm";

/// What a WebAssembly file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WasmKind {
    /// A core module.
    Module,
    /// A component.
    Component,
}

impl WasmKind {
    /// Tells what a file is by its first eight bytes: the magic number, a version, a layer.
    #[must_use]
    pub fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Some(Self::Module),
            [0, b'a', b's', b'm', _, _, 1, 0, ..] => Some(Self::Component),
            _ => None,
        }
    }

    /// Returns the type of artifact.
    #[must_use]
    pub fn artifact_type(self) -> &'static str {
        match self {
            Self::Module => "application/vnd.wasm.module.v1+wasm",
            Self::Component => "application/vnd.wasm.component.v1+wasm",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_eight_bytes_tell() {
        assert_eq!(WasmKind::of(b"\0asm\x01\0\0\0rest"), Some(WasmKind::Module));
        assert_eq!(
            WasmKind::of(b"\0asm\x0d\0\x01\0"),
            Some(WasmKind::Component)
        );
        for other in [
            &b"\0asm\x01\0\0"[..],
            b"",
            b"QFI\xfb\0\0\0\x03",
            b"\0asm\x02\0\0\0",
        ] {
            assert_eq!(WasmKind::of(other), None);
        }
    }
}
