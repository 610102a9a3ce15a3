//! A dm-verity hash tree that was made: from the options to what is said about it.

use std::sync::Arc;

use forger_block::{BlockRead, Window};
use forger_fs::verity::{self, BLOCK, Error, Parameters, Root};
use serde_json::{Value, json};

use crate::args::uuid;
use crate::args::verity::Salt;
use crate::config;
use crate::progress::Console;

/// What is not derived from the data.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// The salt.
    pub(crate) salt: Option<Salt>,
    /// The tree's uuid.
    pub(crate) uuid: Option<[u8; 16]>,
}

impl Wanted {
    /// Describes the tree of the first `len` bytes of an image.
    ///
    /// # Errors
    /// A length that has no tree, a place that no tree can have, an image that cannot be read.
    pub(crate) fn parameters(
        &self,
        image: Arc<dyn BlockRead>,
        len: u64,
        hash_offset: u64,
    ) -> Result<Parameters, Error> {
        let parameters = Parameters::new(len, hash_offset)?;
        let (salt, uuid) = verity::derive(&Window::new(image, 0..len)?)?;
        let salt = self.salt.clone().map_or(salt.to_vec(), |salt| salt.0);
        Ok(parameters
            .with_salt(salt)?
            .with_uuid(self.uuid.unwrap_or(uuid)))
    }
}

/// A tree that is there.
#[derive(Clone, Debug)]
pub(crate) struct HashTree {
    parameters: Parameters,
    root: Root,
    /// The file that holds it, where that is not the image.
    file: Option<String>,
}

impl HashTree {
    /// Makes the tree of an image; `write` puts bytes into the file that holds the tree, and gets the
    /// superblock last.
    ///
    /// # Errors
    /// What stops it.
    pub(crate) fn build(
        image: Arc<dyn BlockRead>,
        parameters: Parameters,
        file: Option<String>,
        console: &mut Console,
        write: &mut dyn FnMut(u64, &[u8]) -> forger_block::Result<()>,
    ) -> Result<Self, Error> {
        let data = Window::new(image, 0..parameters.data_blocks() * BLOCK)?;
        let threads = config::processors();
        let root = verity::build(&data, &parameters, threads, console, write)?;
        write(parameters.hash_offset(), &parameters.superblock())?;
        Ok(Self {
            parameters,
            root,
            file,
        })
    }

    /// Returns what is known as aligned lines.
    pub(crate) fn text(&self) -> String {
        let rows = [
            ("root", self.root.to_string()),
            ("salt", salt(&self.parameters)),
            ("uuid", uuid::text(&self.parameters.uuid())),
            ("blocks", self.parameters.data_blocks().to_string()),
            ("offset", self.parameters.hash_offset().to_string()),
            ("hashes", self.file.clone().unwrap_or_default()),
            ("cmdline", self.cmdline()),
        ];
        let mut text = String::from("verity\n");
        for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
            text.push_str(&format!("  {name:<8}{value}\n"));
        }
        text
    }

    /// Returns what is known as a JSON object.
    pub(crate) fn json(&self) -> Value {
        let parameters = &self.parameters;
        json!({
            "root_hash": self.root.to_string(),
            "salt": salt(parameters).trim_start_matches('-'),
            "uuid": uuid::text(&parameters.uuid()),
            "algorithm": "sha256",
            "data_block_size": BLOCK,
            "hash_block_size": BLOCK,
            "data_blocks": parameters.data_blocks(),
            "hash_file": self.file,
            "hash_offset": parameters.hash_offset(),
            "hash_start": parameters.hash_start().unwrap_or(0),
            "hash_end": parameters.end().unwrap_or(0),
            "cmdline": self.cmdline(),
        })
    }

    /// Returns what makes a kernel verify the device before any initrd: see `dm-init` in its
    /// documentation. The devices' names are for the user to fill in.
    fn cmdline(&self) -> String {
        let parameters = &self.parameters;
        let blocks = parameters.data_blocks();
        let sectors = blocks * (BLOCK / 512);
        let hashes = match self.file {
            Some(_) => "HASH_DEVICE",
            None => "DEVICE",
        };
        format!(
            "dm-mod.create=\"root,,,ro,0 {sectors} verity 1 DEVICE {hashes} {BLOCK} {BLOCK} {blocks} {} \
             sha256 {} {}\" root=/dev/dm-0",
            parameters.hash_start().unwrap_or(0),
            self.root,
            salt(parameters),
        )
    }
}

/// Returns the salt in hexadecimal digits, or - for none.
fn salt(parameters: &Parameters) -> String {
    match parameters.salt() {
        [] => "-".to_owned(),
        salt => salt.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
