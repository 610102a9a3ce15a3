//! `forger verity IMAGE`

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use forger_block::{BlockRead, FileReader, PendingFile, Publish, Run, Window, is_zero};
use forger_fs::ext4::{Image, LockedFile};
use forger_fs::observe::Observer;
use forger_fs::verity::{self, BLOCK, Error, Root};
use serde_json::json;

use crate::args::run::WriteArgs;
use crate::args::verity::{Salt, salt};
use crate::args::{Format, Global, size, uuid};
use crate::config;
use crate::exit::Failure;
use crate::hash_tree::{HashTree, Wanted};
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
The data are the ext2, ext3 or ext4 filesystem that the image begins with, else all of the image (up to
--hash-offset). What stands behind them is replaced only with --force.

In cmdline, DEVICE and HASH_DEVICE stand for the devices of image and tree as the kernel will know them.

Examples:
  forger verity rootfs.ext4
  forger verity rootfs.ext4 --hash-file rootfs.verity --output json
  forger verity rootfs.ext4 --check 3f0a…            every block against this root hash
  veritysetup open rootfs.ext4 root rootfs.ext4 3f0a… --hash-offset BYTES

Exit status: 0 done or intact, 1 failed or damaged, 2 wrong usage (forger --help says more)."
)]
pub(crate) struct Args {
    /// The image, read only; without --hash-file a file that the tree is appended to
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    /// The file that holds the tree [default: IMAGE itself]
    #[arg(long, value_name = "FILE")]
    hash_file: Option<PathBuf>,

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
    write: WriteArgs,
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
        let image = self.open(&|| self.cannot())?;
        let len = match filesystem(&image) {
            Some(fs) => fs,
            None if self.hash_file.is_some() => image.len(),
            None => self.hash_offset.unwrap_or(image.len()),
        };
        console.phase("hash");
        let tree = match &self.hash_file {
            Some(path) => self.apart(image, len, path, console),
            None => self.append(image, len, console),
        }?;
        let shown = self.image.display().to_string();
        Ok(match format {
            Format::Text => format!("path    {shown}\n{}", tree.text()),
            Format::Json => print::json_line(&json!({ "path": shown, "verity": tree.json() })),
        })
    }

    fn open(&self, what: &dyn Fn() -> String) -> Result<Arc<FileReader>, Failure> {
        let opened = FileReader::open(&self.image);
        Ok(Arc::new(
            opened.map_err(|error| remedy::block(what(), error))?,
        ))
    }

    fn cannot(&self) -> String {
        format!("cannot make a hash tree of {}", self.image.display())
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
        image: Arc<FileReader>,
        len: u64,
        path: &PathBuf,
        console: &mut Console,
    ) -> Result<HashTree, Failure> {
        if *path == self.image {
            return Err(Failure::usage("image and hash tree cannot be one file")
                .help("without --hash-file the tree goes behind the image"));
        }
        check_hash_file(path, self.write)?;
        let offset = self.hash_offset.unwrap_or(0);
        let write = || -> Result<HashTree, Error> {
            let parameters = self.wanted().parameters(image.clone(), len, offset)?;
            let file = PendingFile::for_target(path)?;
            file.set_len(parameters.end()?)?;
            let name = Some(path.display().to_string());
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
    fn append(
        &self,
        image: Arc<FileReader>,
        len: u64,
        console: &mut Console,
    ) -> Result<HashTree, Failure> {
        let what = || format!("cannot append to {}", self.image.display());
        let io = |error: std::io::Error| Failure::failed(what()).because(error);
        let _locked = LockedFile::open(&self.image)
            .map_err(|error| Failure::failed(what()).because(error))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.image)
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
        let tail = first_data(&*image, len)
            .map_err(|error| remedy::block(what(), error))?
            .filter(|_| !self.write.force);
        if let Some(at) = tail {
            return Err(Failure::failed(what())
                .because(format!("there is something behind the data, at byte {at}"))
                .help("--force replaces it, such as an earlier tree"));
        }
        let name = self.image.display().to_string();
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
        let what = || format!("{} is not what its hash tree says", self.image.display());
        let block = |error| remedy::block(format!("cannot check {}", self.image.display()), error);
        let explain = |error| match error {
            Error::Block(error) => block(error),
            error => remedy::verity(what(), error),
        };
        let image = self.open(&|| format!("cannot check {}", self.image.display()))?;
        let hashes: Arc<dyn BlockRead> = match &self.hash_file {
            Some(path) => Arc::new(FileReader::open(path).map_err(block)?),
            None => Arc::<FileReader>::clone(&image),
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
        let data = Window::new(image, 0..len).map_err(block)?;
        console.phase("hash");
        let threads = config::processors();
        verity::check(&data, &*hashes, &parameters, root, threads, console).map_err(explain)?;
        let shown = self.image.display().to_string();
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

/// Returns the length of the filesystem that an image begins with, in bytes, where there is one.
fn filesystem(image: &Arc<FileReader>) -> Option<u64> {
    let source: Arc<dyn BlockRead> = Arc::<FileReader>::clone(image);
    let opened = Image::open(source).ok()?;
    Some(opened.superblock().size())
}

/// Returns the place of the first byte from `from` on that is not zero.
fn first_data(image: &dyn BlockRead, from: u64) -> forger_block::Result<Option<u64>> {
    const PIECE: u64 = 1 << 20;
    let mut at = from;
    let mut buffer = Vec::new();
    while at < image.len() {
        match image.run_at(at)? {
            Run::Hole(hole) => at += hole.max(1),
            Run::Data(data) => {
                let step = data.clamp(1, PIECE).min(image.len() - at);
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
