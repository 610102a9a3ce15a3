//! How a FAT is made: its own options, and what the common ones mean for it.

use clap::{Args, ValueEnum};
use forger_fs::ext4::Free;
use forger_fs::fat::{Bits, Ignore, Options, Size};

use super::image::{ImageArgs, Kind};
use super::size::{self, ImageSize};
use super::uuid::Identifier;
use crate::config::Environment;
use crate::exit::Failure;

/// Options that only `--type vfat` has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "vfat")]
pub(crate) struct FatArgs {
    /// Bytes in a sector: 512, 1024, 2048 or 4096 [default: 512]
    #[arg(long, value_name = "BYTES")]
    sector_size: Option<u32>,

    /// Bytes in a cluster, a SIZE from a sector to 64K [default: by the size]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    cluster_size: Option<u64>,

    /// Width of the table's entries [default: 32 from 512M on, else 16, or 12 below 8M]
    #[arg(long, value_name = "BITS")]
    fat_bits: Option<FatBits>,
}

/// What `--fat-bits` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FatBits {
    /// FAT12
    #[value(name = "12")]
    Fat12,
    /// FAT16
    #[value(name = "16")]
    Fat16,
    /// FAT32
    #[value(name = "32")]
    Fat32,
}

impl FatArgs {
    /// Refuses the options of this group for another filesystem.
    pub(crate) fn refuse(&self) -> Result<(), Failure> {
        let given = [
            ("--sector-size", self.sector_size.is_some()),
            ("--cluster-size", self.cluster_size.is_some()),
            ("--fat-bits", self.fat_bits.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(Failure::usage(format!("{name} is for --type vfat"))),
            None => Ok(()),
        }
    }

    /// Returns the options of the FAT writer that the arguments mean.
    ///
    /// # Errors
    /// Wrong usage: options that a FAT does not have.
    pub(crate) fn options(
        &self,
        image: &ImageArgs,
        environment: &Environment,
    ) -> Result<Options, Failure> {
        refuse_ext4(image)?;
        let time = image.image_time(environment)?;
        let label = match &image.label {
            Some(label) => Some(label.to_str().map(str::to_owned).ok_or_else(|| {
                Failure::usage(format!("the label {} is not UTF-8", label.display()))
            })?),
            None => None,
        };
        let volume_id = match image.uuid {
            Some(Identifier::Uuid(_)) => {
                return Err(Failure::usage(
                    "--uuid: a FAT has a volume id of eight digits, as in 1234-ABCD",
                ));
            }
            Some(Identifier::Volume(id)) => Some(id),
            None => None,
        };
        let has = |kind| image.ignore.contains(&kind);
        let cluster_size = self.cluster_size.map(u32::try_from).transpose();
        Ok(Options {
            size: self.size(image)?,
            sector_size: self.sector_size.unwrap_or(512),
            bits: self.fat_bits.map(|bits| match bits {
                FatBits::Fat12 => Bits::Fat12,
                FatBits::Fat16 => Bits::Fat16,
                FatBits::Fat32 => Bits::Fat32,
            }),
            cluster_size: cluster_size
                .map_err(|_| Failure::usage("--cluster-size: 64K is the largest cluster"))?,
            label,
            volume_id,
            time,
            clamp_mtime: image.clamp_mtime,
            hidden_sectors: 0,
            ignore: Ignore {
                symlinks: has(Kind::Symlinks),
                devices: has(Kind::Devices),
            },
        })
    }

    fn size(&self, image: &ImageArgs) -> Result<Size, Failure> {
        let sizes = &image.size;
        match (sizes.size, sizes.free) {
            (ImageSize::Bytes(_), Some(_)) => {
                Err(Failure::usage("--size and --free contradict each other"))
            }
            (ImageSize::Bytes(bytes), None) => {
                let sector = u64::from(self.sector_size.unwrap_or(512).max(1));
                Ok(Size::Exact(bytes - bytes % sector))
            }
            (ImageSize::Auto, Some(Free::Bytes(free))) => Ok(Size::Auto { free }),
            (ImageSize::Auto, Some(_)) => Err(Failure::usage(
                "--free of a vfat is a number of bytes, as in 8M",
            )),
            (ImageSize::Auto, None) => Ok(Size::default()),
        }
    }
}

/// Refuses what only ext4 has.
fn refuse_ext4(image: &ImageArgs) -> Result<(), Failure> {
    let size = &image.size;
    let given = [
        ("--hash-seed", image.hash_seed.is_some()),
        ("--root-owner", image.root_owner.is_some()),
        ("--keep-zeros", image.keep_zeros),
        ("--max-size", size.max_size.is_some()),
        ("--inodes", size.inodes.is_some()),
        ("--bytes-per-inode", size.bytes_per_inode.is_some()),
        ("--reserved", size.reserved.is_some()),
        ("--journal-size", size.journal_size.is_some()),
        ("--no-journal", size.no_journal),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Failure::usage(format!("{name} is for --type ext4"))),
        None => Ok(()),
    }
}
