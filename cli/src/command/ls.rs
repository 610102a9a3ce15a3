//! `forger ls IMAGE[:PATH]`

use std::ffi::OsString;

use forger_fs::ext4::{FileType, Inode};
use serde_json::Value;

use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::image::{ADDRESS_HELP, Opened};
use crate::listing;
use crate::print::{self, Stream};

/// Lists what is in a folder of an image
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
Names come in order of their bytes; what is not printable is escaped. With --output json there is
one object a line, with name, inode, type, mode, uid, gid, links, size, mtime, device and target.

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
}

/// Prints the names.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let opened = Opened::open(&args.address)?;
    let start = opened.lookup(true)?;
    let mut lister = Lister {
        args,
        opened: &opened,
        format: global.output,
        text: String::new(),
    };
    let root = String::from_utf8_lossy(opened.address.path_or_root()).into_owned();
    if start.file_type() == FileType::Directory {
        lister.folders(start, root)?;
    } else {
        lister.line(&start, root.as_bytes(), &root)?;
    }
    print::result(Stream::Stdout, &lister.text)
}

struct Lister<'a> {
    args: &'a Args,
    opened: &'a Opened,
    format: Format,
    text: String,
}

impl Lister<'_> {
    /// Lists a folder, and with `-R` those below it, a folder's names before theirs.
    fn folders(&mut self, folder: Inode, path: String) -> Result<(), Failure> {
        let mut open = vec![(folder, path)];
        while let Some((folder, path)) = open.pop() {
            let below = self.folder(&folder, &path)?;
            if self.args.recursive {
                open.extend(below.into_iter().rev());
            }
        }
        Ok(())
    }

    fn folder(&mut self, folder: &Inode, path: &str) -> Result<Vec<(Inode, String)>, Failure> {
        if self.args.recursive && self.format == Format::Text {
            if !self.text.is_empty() {
                self.text.push('\n');
            }
            self.text.push_str(&format!("{path}:\n"));
        }
        let image = &self.opened.image;
        let fail = |error| self.opened.failure(error);
        let mut entries = image.list(folder).map_err(fail)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let mut below = Vec::new();
        for entry in entries {
            let inode = image
                .inode(entry.inode)
                .map_err(|error| self.opened.failure(error))?;
            let inside = format!(
                "{}/{}",
                path.trim_end_matches('/'),
                listing::shown(&entry.name)
            );
            self.line(&inode, &entry.name, &inside)?;
            if inode.file_type() == FileType::Directory {
                below.push((inode, inside));
            }
        }
        Ok(below)
    }

    fn line(&mut self, inode: &Inode, name: &[u8], path: &str) -> Result<(), Failure> {
        let target = match inode.file_type() {
            FileType::Symlink if self.args.long || self.format == Format::Json => {
                let target = self.opened.image.symlink(inode);
                Some(listing::shown(
                    &target.map_err(|error| self.opened.failure(error))?,
                ))
            }
            _ => None,
        };
        let name = listing::shown(name);
        let line = match self.format {
            Format::Json => json_line(inode, &name, path, target),
            Format::Text => self.text_line(inode, &name, target),
        };
        self.text.push_str(&line);
        Ok(())
    }

    fn text_line(&self, inode: &Inode, name: &str, target: Option<String>) -> String {
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
        line.push_str(name);
        if let Some(target) = target {
            line.push_str(&format!(" -> {target}"));
        }
        line.push('\n');
        line
    }
}

fn json_line(inode: &Inode, name: &str, path: &str, target: Option<String>) -> String {
    let mut object = listing::json_inode(inode);
    if let Value::Object(fields) = &mut object {
        fields.insert("name".into(), name.into());
        fields.insert("path".into(), path.into());
        fields.insert("target".into(), target.into());
    }
    print::json_line(&object)
}
