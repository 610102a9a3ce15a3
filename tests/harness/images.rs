//! Container images as layouts, made file by file; digests are those of `sha256sum`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::process::Run;

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    /// Not at all.
    Plain,
    /// By gzip.
    Gzip,
    /// By zstd.
    Zstd,
}

/// A folder with an image layout.
#[derive(Debug)]
pub struct Layout {
    /// Where it is.
    pub dir: PathBuf,
    manifests: Vec<Value>,
}

impl Layout {
    /// Makes an empty layout.
    ///
    /// # Panics
    /// When the folder cannot be written.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        fs::create_dir_all(dir.join("blobs/sha256")).expect("a new folder");
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("space");
        let layout = Self {
            dir,
            manifests: Vec::new(),
        };
        layout.index();
        layout
    }

    /// Adds a blob; returns its descriptor.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = sha256(bytes);
        fs::write(self.path(&digest), bytes).expect("space");
        json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() })
    }

    /// Returns the path of a blob, of which the digest's digits are given.
    #[must_use]
    pub fn path(&self, digest: &str) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest)
    }

    /// Adds an image of layers for linux and an architecture, and `config` in its configuration; returns the
    /// manifest's descriptor.
    pub fn image(&self, layers: &[(Vec<u8>, Packed)], architecture: &str, config: Value) -> Value {
        let mut descriptors = Vec::new();
        let mut diff_ids = Vec::new();
        for (tar, packed) in layers {
            diff_ids.push(format!("sha256:{}", sha256(tar)));
            let base = "application/vnd.oci.image.layer.v1.tar";
            descriptors.push(match packed {
                Packed::Plain => self.blob(base, tar),
                Packed::Gzip => {
                    let packed = Run::new("gzip").args(["-n", "-c"]).stdin(tar.clone()).ok();
                    self.blob(&format!("{base}+gzip"), &packed.stdout)
                }
                Packed::Zstd => {
                    let packed = zstd::encode_all(&tar[..], 3).expect("memory");
                    self.blob(&format!("{base}+zstd"), &packed)
                }
            });
        }
        let config = json!({
            "os": "linux",
            "architecture": architecture,
            "config": config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = self.blob(
            "application/vnd.oci.image.config.v1+json",
            config.to_string().as_bytes(),
        );
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": descriptors });
        let mut descriptor = self.blob(kind, manifest.to_string().as_bytes());
        descriptor["platform"] = json!({ "os": "linux", "architecture": architecture });
        descriptor
    }

    /// Adds an index of manifests; returns its descriptor.
    pub fn nested(&self, manifests: &[Value]) -> Value {
        let kind = "application/vnd.oci.image.index.v1+json";
        let index = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": manifests });
        self.blob(kind, index.to_string().as_bytes())
    }

    /// Lists a manifest under a name.
    pub fn list(&mut self, mut descriptor: Value, name: &str) {
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        self.manifests.push(descriptor);
        self.index();
    }

    fn index(&self) {
        let index = json!({ "schemaVersion": 2, "manifests": self.manifests });
        fs::write(self.dir.join("index.json"), index.to_string()).expect("space");
    }

    /// Returns an image of it as it is named on the command line.
    #[must_use]
    pub fn named(&self, name: &str) -> String {
        format!("oci:{}:{name}", self.dir.display())
    }
}

/// Returns the SHA-256 of bytes in hexadecimal digits.
///
/// # Panics
/// When there is no `sha256sum`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    let output = Run::new("sha256sum").stdin(bytes).ok().text();
    output.split(' ').next().unwrap_or_default().to_owned()
}

/// Returns the digits of a descriptor's digest.
///
/// # Panics
/// When it has none.
#[must_use]
pub fn digits(descriptor: &Value) -> String {
    let digest = descriptor["digest"]
        .as_str()
        .expect("a descriptor has a digest");
    digest.trim_start_matches("sha256:").to_owned()
}

/// Unpacks an image of a layout into `DIR/rootfs` by umoci, as this user.
///
/// # Panics
/// When umoci fails.
pub fn umoci_unpack(layout: &Path, name: &str, bundle: &Path) {
    let image = format!("{}:{name}", layout.display());
    Run::new("umoci")
        .args(["unpack", "--image", &image])
        .arg(bundle)
        .limit(300)
        .ok();
}

/// Splits an extracted tree by names into five layers and makes an image of them, by tar and umoci.
const SPLIT: &str = r#"
rm -rf "$W/layout" "$W"/part.*
umoci init --layout "$W/layout"
umoci new --image "$W/layout:app"
cd "$D"
find . -print0 | LC_ALL=C sort -z > "$W/names"
split -t '\0' -n l/5 -d "$W/names" "$W/part."
for part in "$W"/part.*; do
    tar --create --no-recursion --null --files-from "$part" --xattrs --xattrs-include='*' --numeric-owner --file "$W/layer.tar"
    umoci raw add-layer --image "$W/layout:app" "$W/layer.tar"
    rm "$W/layer.tar" "$part"
done
"#;

/// Makes an image of five layers, compressed by gzip, of a folder that root extracted; returns its layout, in which it is
/// called `app`. Scratch files go to `work`, as the layout does.
///
/// # Errors
/// When a tool fails.
pub fn split(folder: &Path, work: &Path) -> Result<PathBuf, String> {
    let run = Run::new("bash").args(["-euc", SPLIT]).env("D", folder);
    let made = run.env("W", work).limit(1800).try_output()?;
    match made.status.success() {
        true => Ok(work.join("layout")),
        false => Err(made.to_string()),
    }
}
