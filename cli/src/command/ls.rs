//! `forger ls IMAGE[:PATH]`

use std::collections::BTreeSet;
use std::ffi::OsString;

use forger_fs::ext4::{FileType, Inode, InodeNo};

use crate::args::read::ReadArgs;
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::image::{ADDRESS_HELP, Opened};
use crate::listing;
use crate::print::Lines;

/// Lists what is in a folder of an image
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
Names come in order of their bytes; what is not printable is escaped. With --output json there is
one object a line, with name, inode, type, mode, uid, gid, links, size, mtime, device, encrypted and
target. What is encrypted has an encoded name, and no readable content.

Examples:
  forger ls rootfs.ext4
  forger ls -l rootfs.ext4:/etc
  forger ls -R --output json rootfs.ext4:/usr/bin | jq -r 'select(.mode == \"4755\").path'

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more)."
)]
pub(crate) struct Args {
    #[arg(value_name = "IMAGE[:PATH]", help = ADDRESS_HELP)]
    address: OsString,

    /// Shows permissions, links, owner, size and time of each name
    #[arg(short, long)]
    long: bool,

    /// Goes into folders, and theirs
    #[arg(short = 'R', long)]
    recursive: bool,

    /// Shows inode numbers
    #[arg(short, long)]
    inode: bool,

    #[command(flatten)]
    read: ReadArgs,
}

/// Prints the names.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let opened = Opened::open(&args.address, &args.read)?;
    let start = opened.lookup(true)?;
    let mut lister = Lister {
        args,
        opened: &opened,
        format: global.output,
        lines: Lines::start(),
        listed: BTreeSet::new(),
    };
    let root = opened.address.path_or_root();
    if start.file_type() == FileType::Directory {
        lister.folders(start, root)?;
    } else {
        lister.line(&start, root, root)?;
    }
    lister.lines.finish()
}

struct Lister<'a> {
    args: &'a Args,
    opened: &'a Opened,
    format: Format,
    lines: Lines,
    /// Folders whose names were shown: in a damaged image one can be inside itself.
    listed: BTreeSet<InodeNo>,
}

impl Lister<'_> {
    /// Lists a folder, and with `-R` those below it, a folder's names before theirs.
    fn folders(&mut self, folder: Inode, path: &[u8]) -> Result<(), Failure> {
        let mut open = vec![(folder, path.to_vec())];
        while let Some((folder, path)) = open.pop() {
            if !self.listed.insert(folder.number()) {
                let error = format!("inode {} is in itself", folder.number().0);
                return Err(self.opened.failure_at(&path, error));
            }
            let below = self.folder(&folder, &path)?;
            open.extend(below.into_iter().rev());
        }
        Ok(())
    }

    /// Lists a folder; returns the folders in it, where those are to be listed too.
    fn folder(&mut self, folder: &Inode, path: &[u8]) -> Result<Vec<(Inode, Vec<u8>)>, Failure> {
        if self.args.recursive && self.format == Format::Text {
            let gap = if self.listed.len() > 1 { "\n" } else { "" };
            self.lines
                .put(format!("{gap}{}:\n", listing::shown(path)))?;
        }
        let image = &self.opened.image;
        let mut entries = image
            .list(folder)
            .map_err(|error| self.opened.failure_at(path, error))?;
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let prefix = path.strip_suffix(b"/").unwrap_or(path);
        let mut below = Vec::new();
        for entry in entries {
            if self.is_name_enough(entry.file_type) {
                self.lines.put(listing::shown(&entry.name))?;
                self.lines.put("\n")?;
                continue;
            }
            let inside = [prefix, &entry.name].join(&b'/');
            let inode = image
                .inode(entry.inode)
                .map_err(|error| self.opened.failure_at(&inside, error))?;
            self.line(&inode, &entry.name, &inside)?;
            if self.args.recursive && inode.file_type() == FileType::Directory {
                below.push((inode, inside));
            }
        }
        Ok(below)
    }

    /// Tells whether a name is all that is needed, so that its inode is not.
    fn is_name_enough(&self, file_type: Option<FileType>) -> bool {
        let plain = !self.args.long && !self.args.inode && self.format == Format::Text;
        let entered = file_type.is_none_or(|known| known == FileType::Directory);
        plain && !(self.args.recursive && entered)
    }

    fn line(&mut self, inode: &Inode, name: &[u8], path: &[u8]) -> Result<(), Failure> {
        let line = match self.format {
            Format::Json => listing::json_line(self.opened, inode, name, path)?,
            Format::Text => self.text_line(inode, name, path)?,
        };
        self.lines.put(line)
    }

    fn text_line(&self, inode: &Inode, name: &[u8], path: &[u8]) -> Result<String, Failure> {
        let mut line = String::new();
        if self.args.inode {
            line.push_str(&format!("{:>8} ", inode.number().0));
        }
        if self.args.long {
            let size = inode.device().map_or_else(
                || inode.size().to_string(),
                |device| format!("{}, {}", device.major, device.minor),
            );
            line.push_str(&format!(
                "{} {:>3} {:>5} {:>5} {size:>10} {} ",
                listing::permissions(inode),
                inode.links(),
                inode.uid(),
                inode.gid(),
                listing::utc(inode.mtime()),
            ));
        }
        line.push_str(&listing::shown(name));
        if self.args.long
            && let Some(target) = listing::symlink(self.opened, inode, path)?
        {
            line.push_str(&format!(" -> {target}"));
        }
        if self.args.long && inode.is_encrypted() {
            line.push_str(" (encrypted)");
        }
        line.push('\n');
        Ok(line)
    }
}
