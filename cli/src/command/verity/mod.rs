//! `forger verity IMAGE[#PART]`

mod partition;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use forger::address::Address;
use forger_block::{BlockRead, FileReader, PendingFile, Publish, Run, Window, is_zero};
use forger_disk::Format as DiskFormat;
use forger_fs::ext4::{Image, LockedFile};
use forger_fs::observe::Observer;
use forger_fs::verity::{self, BLOCK, Error, Root};
use serde_json::json;

use crate::args::read::ReadArgs;
use crate::args::run::WriteArgs;
use crate::args::verity::{Salt, salt};
use crate::args::{Format, Global, size, uuid};
use crate::config;
use crate::exit::Failure;
use crate::hash_tree::{HashTree, Wanted};
use crate::medium::{self, Medium};
use crate::output::verified::check_hash_file;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// Makes or checks a dm-verity hash tree, as veritysetup does
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    long_about = "Makes or checks a dm-verity hash tree, as veritysetup does (version 1, SHA-256, blocks of 4096 \
                  bytes).\n\n\
                  The tree goes behind the image, or into a file of its own. With its root hash the kernel \
                  verifies every block as it is read; nothing of the image may change from then on. Salt and \
                  UUID are derived from the first 64 KiB of the image and its length, unless they are given: \
                  equal images have equal trees.",
    after_long_help = "\
The data are the ext2, ext3 or ext4 filesystem that the image or partition begins with, else all of it (up to
--hash-offset). What stands behind them is replaced only with --force. Images of any format are read; a
tree is appended to files and to partitions of raw disks.

In cmdline, DEVICE and HASH_DEVICE stand for the devices of image and tree as the kernel will know them.

Examples:
  forger verity rootfs.ext4
  forger verity rootfs.ext4 --hash-file rootfs.verity --output json
  forger verity rootfs.ext4 --check 3f0a…            every block against this root hash
  forger verity vm.qcow2#root --hash-file vm.qcow2#root-verity --check 3f0a…
  forger verity vm.raw#root --hash-file vm.raw#root-verity
  veritysetup open rootfs.ext4 root rootfs.ext4 3f0a… --hash-offset BYTES

Exit status: 0 done or intact, 1 failed or damaged, 2 wrong usage (forger --help says more)."
)]
pub(crate) struct Args {
    /// The image or partition, read only; without --hash-file the tree is appended to it
    #[arg(value_name = "IMAGE[#PART]")]
    image: OsString,

    /// What holds the tree: a file, or a partition of a raw disk [default: IMAGE itself]
    #[arg(long, value_name = "FILE[#PART]")]
    hash_file: Option<OsString>,

    /// Where the tree's superblock stands, in bytes or as a SIZE [default: behind the data; 0 in a
    /// --hash-file]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    hash_offset: Option<u64>,

    /// Checks image and tree against this root hash, and writes nothing [default: makes a tree]
    #[arg(long, value_name = "ROOT", value_parser = uuid::sha256)]
    check: Option<[u8; 32]>,

    /// Salt in hexadecimal digits, or - for none [default: derived from the image]
    #[arg(long, value_name = "HEX", value_parser = salt, conflicts_with = "check", allow_hyphen_values = true)]
    salt: Option<Salt>,

    /// UUID of the hash tree [default: derived from the image]
    #[arg(long, value_name = "UUID", value_parser = uuid::parse, conflicts_with = "check")]
    uuid: Option<[u8; 16]>,

    #[command(flatten)]
    read: ReadArgs,

    #[command(flatten)]
    write: WriteArgs,
}

/// What the tree is of.
struct Data {
    address: Address,
    medium: Medium,
}

/// Makes or checks the tree.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let done = match args.check {
        Some(root) => args.verify(Root(root), global.output, &mut console),
        None => args.make(global.output, &mut console),
    };
    let text = console.conclude(done)?;
    print::result(Stream::Stdout, &text)
}

impl Args {
    fn make(&self, format: Format, console: &mut Console) -> Result<String, Failure> {
        let data = self.data()?;
        let reader = &data.medium.reader;
        let len = match filesystem(reader) {
            Some(fs) => fs,
            None if self.hash_file.is_some() => reader.len(),
            None => self.hash_offset.unwrap_or(reader.len()),
        };
        console.phase("hash");
        let hashes = self.hash_file.as_deref().map(medium::address);
        let hashes = hashes.transpose()?;
        let tree = match &hashes {
            Some(hashes) if hashes.part.is_some() => {
                let name = Some(hashes.disk());
                self.in_partition(&data, len, hashes, name, console)
            }
            Some(hashes) => self.apart(&data, len, &hashes.image, console),
            None if data.address.part.is_some() => {
                self.in_partition(&data, len, &data.address, None, console)
            }
            None => self.append(&data, len, console),
        }?;
        let shown = data.address.disk();
        Ok(match format {
            Format::Text => format!("path    {shown}\n{}", tree.text()),
            Format::Json => print::json_line(&json!({ "path": shown, "verity": tree.json() })),
        })
    }

    fn data(&self) -> Result<Data, Failure> {
        let address = medium::address(&self.image)?;
        let medium = Medium::open(&address, &self.read)?;
        Ok(Data { address, medium })
    }

    fn cannot(&self) -> String {
        format!("cannot make a hash tree of {}", parse(&self.image).disk())
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            salt: self.salt.clone(),
            uuid: self.uuid,
        }
    }

    /// Writes the tree into a file of its own, which appears whole or not at all.
    fn apart(
        &self,
        data: &Data,
        len: u64,
        path: &Path,
        console: &mut Console,
    ) -> Result<HashTree, Failure> {
        if path == data.address.image {
            return Err(Failure::usage("image and hash tree cannot be one file")
                .help("without --hash-file the tree goes behind the image"));
        }
        check_hash_file(path, self.write)?;
        let offset = self.hash_offset.unwrap_or(0);
        let mut write = || -> Result<HashTree, Error> {
            let image = &data.medium.reader;
            let parameters = self.wanted().parameters(Arc::clone(image), len, offset)?;
            let file = PendingFile::for_target(path)?;
            file.set_len(parameters.end()?)?;
            let name = Some(path.display().to_string());
            let image = Arc::clone(image);
            let tree = HashTree::build(image, parameters, name, console, &mut |at, bytes| {
                file.write_at(at, bytes)
            })?;
            file.publish(Publish {
                force: self.write.force,
                sync: !self.write.no_sync,
            })?;
            Ok(tree)
        };
        write().map_err(|error| remedy::verity(self.cannot(), error))
    }

    /// Writes the tree behind the data of a file, its superblock last. A failure leaves the file as it
    /// was, but for what `--force` replaces.
    fn append(&self, data: &Data, len: u64, console: &mut Console) -> Result<HashTree, Failure> {
        let path = &data.address.image;
        let what = || format!("cannot append to {}", path.display());
        data.medium.check_plain(&what)?;
        let image = Arc::clone(&data.medium.reader);
        let io = |error: std::io::Error| Failure::failed(what()).because(error);
        let _locked =
            LockedFile::open(path).map_err(|error| Failure::failed(what()).because(error))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(io)?;
        if !file.metadata().map_err(io)?.is_file() {
            return Err(Failure::failed(what())
                .because("it is no regular file")
                .help("--hash-file FILE writes the tree into a file of its own"));
        }
        let offset = self.hash_offset.unwrap_or(len);
        if offset < len {
            return Err(Failure::usage(format!(
                "--hash-offset {offset} lies in the data, which end at {len}"
            )));
        }
        let tail = first_data(&*image, len..image.len())
            .map_err(|error| remedy::block(what(), error))?
            .filter(|_| !self.write.force);
        if let Some(at) = tail {
            return Err(Failure::failed(what())
                .because(format!("there is something behind the data, at byte {at}"))
                .help("--force replaces it, such as an earlier tree"));
        }
        let name = path.display().to_string();
        let error = |error| forger_block::Error::io("write", name.clone(), error);
        let before = if self.write.force { len } else { image.len() };
        let write = || -> Result<HashTree, Error> {
            let parameters = self.wanted().parameters(image, len, offset)?;
            let end = parameters.end()?;
            file.set_len(before).map_err(error)?;
            file.set_len(end.max(len)).map_err(error)?;
            let clone = file.try_clone().map_err(error)?;
            let reader = Arc::new(FileReader::from_file(clone, name.clone())?);
            let superblock = parameters.hash_offset();
            let tree = HashTree::build(reader, parameters, None, console, &mut |at, bytes| {
                if at == superblock && !self.write.no_sync {
                    file.sync_data().map_err(error)?;
                }
                file.write_all_at(bytes, at).map_err(error)
            })?;
            if !self.write.no_sync {
                file.sync_data().map_err(error)?;
            }
            Ok(tree)
        };
        write().map_err(|error| {
            // The error that led here says more than one of tidying up.
            let _ = file.set_len(before);
            remedy::verity(self.cannot(), error)
        })
    }

    fn verify(&self, root: Root, format: Format, console: &mut Console) -> Result<String, Failure> {
        let data = self.data()?;
        let shown = data.address.disk();
        let explain = |error| match error {
            Error::Block(error) => remedy::block(format!("cannot check {shown}"), error),
            error => remedy::verity(format!("{shown} is not what its hash tree says"), error),
        };
        let image = data.medium.reader;
        let hashes = match &self.hash_file {
            Some(typed) => Medium::open(&medium::address(typed)?, &self.read)?.reader,
            None => Arc::clone(&image),
        };
        let default = match self.hash_file {
            Some(_) => Some(0),
            None => filesystem(&image),
        };
        let offset = self.hash_offset.or(default).ok_or_else(|| {
            Failure::usage("where the tree stands in the image is not known")
                .help("--hash-offset says where its superblock stands")
        })?;
        let parameters = verity::read(&*hashes, offset).map_err(explain)?;
        let len = parameters.data_blocks().saturating_mul(BLOCK);
        let data = Window::new(image, 0..len).map_err(|error| explain(error.into()))?;
        console.phase("hash");
        let threads = config::processors();
        verity::check(&data, &*hashes, &parameters, root, threads, console).map_err(explain)?;
        let blocks = parameters.data_blocks();
        Ok(match format {
            Format::Text => format!("intact: {blocks} blocks of {shown}\n"),
            Format::Json => print::json_line(&json!({
                "path": shown,
                "intact": true,
                "data_blocks": blocks,
                "root_hash": root.to_string(),
            })),
        })
    }
}

fn parse(typed: &OsString) -> Address {
    Address::parse(typed, |path| path.exists())
}

impl Medium {
    /// Checks that the file holds the disk's bytes as they are: what is changed in place.
    fn check_plain(&self, what: &dyn Fn() -> String) -> Result<(), Failure> {
        if self.container.format() == DiskFormat::Raw && !self.is_packed() {
            return Ok(());
        }
        Err(Failure::failed(what())
            .because(format!(
                "it is {}, and only raw ones are changed in place",
                self.format_name()
            ))
            .help("--hash-file FILE writes the tree into a file of its own"))
    }
}

/// Returns the length of the filesystem that an image begins with, in bytes, where there is one.
fn filesystem(image: &Arc<dyn BlockRead>) -> Option<u64> {
    let opened = Image::open(Arc::clone(image)).ok()?;
    Some(opened.superblock().size())
}

/// Returns the place of the first byte of a range that is not zero.
fn first_data(image: &dyn BlockRead, range: Range<u64>) -> forger_block::Result<Option<u64>> {
    const PIECE: u64 = 1 << 20;
    let mut at = range.start;
    let mut buffer = Vec::new();
    while at < range.end {
        match image.run_at(at)? {
            Run::Hole(hole) => at = at.saturating_add(hole.max(1)),
            Run::Data(data) => {
                let step = data.clamp(1, PIECE).min(range.end - at);
                buffer.resize(usize::try_from(step).unwrap_or(0), 0);
                image.read_at(at, &mut buffer)?;
                if !is_zero(&buffer) {
                    let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
                    return Ok(Some(at + u64::try_from(zeros).unwrap_or(0)));
                }
                at += step;
            }
        }
    }
    Ok(None)
}
