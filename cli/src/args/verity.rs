//! How a dm-verity hash tree is made.

use std::ffi::OsString;

use clap::Args;

use super::uuid;
use crate::hash_tree::Wanted;

/// Whether `forger mkfs` makes a hash tree, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "dm-verity")]
pub(crate) struct VerityArgs {
    /// Adds a hash tree behind the filesystem and prints its root hash: the kernel then verifies what it
    /// reads
    #[arg(long)]
    pub(crate) verity: bool,

    /// File of its own for the hash tree [default: behind the filesystem]
    #[arg(long, value_name = "FILE", requires = "verity")]
    pub(crate) verity_hash_file: Option<OsString>,

    /// Salt in hexadecimal digits, or - for none [default: derived from the filesystem]
    #[arg(long, value_name = "HEX", requires = "verity", value_parser = salt, allow_hyphen_values = true)]
    pub(crate) verity_salt: Option<Salt>,

    /// UUID of the hash tree [default: derived from the filesystem]
    #[arg(long, value_name = "UUID", requires = "verity", value_parser = uuid::parse)]
    pub(crate) verity_uuid: Option<[u8; 16]>,
}

impl VerityArgs {
    /// Returns what is not derived from the data.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted {
            salt: self.verity_salt.clone(),
            uuid: self.verity_uuid,
        }
    }
}

/// A salt, at most 256 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Salt(pub(crate) Vec<u8>);

/// Reads a salt as veritysetup does.
pub(crate) fn salt(text: &str) -> Result<Salt, String> {
    let expected = || "expected up to 512 hexadecimal digits, two for each byte, or -".to_owned();
    if text == "-" {
        return Ok(Salt(Vec::new()));
    }
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| u8::try_from(c.to_digit(16)?).ok())
        .collect();
    let digits = digits
        .filter(|digits| !digits.is_empty() && digits.len() <= 512 && digits.len() % 2 == 0)
        .ok_or_else(expected)?;
    let pairs = digits.chunks_exact(2);
    Ok(Salt(pairs.map(|pair| pair[0] << 4 | pair[1]).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_are_digits_or_none() {
        assert_eq!(salt("-"), Ok(Salt(vec![])));
        assert_eq!(salt("00Ff10"), Ok(Salt(vec![0, 255, 16])));
        assert!(salt(&"00".repeat(256)).is_ok());
        for text in ["", "0", "0g", "0x00", &"00".repeat(257)] {
            assert!(salt(text).is_err(), "{text}");
        }
    }
}
