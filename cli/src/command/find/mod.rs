//! `forger find IMAGE[:PATH] [GLOB]...`

mod test;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use forger_fs::ext4::{FileType, Inode};
use forger_fs::source::Glob;

use crate::args::read::ReadArgs;
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::image::{ADDRESS_HELP, Opened};
use crate::listing;
use crate::print::Lines;
use test::{Permissions, Size, Tests};

/// Finds files of an image by name, type, mode, owner, size or attributes
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
A GLOB is for the whole path: * ? and [a-z] match within a component, ** any number of components.
With a leading slash it begins at the root of the image, else in any folder. What matches one GLOB
(if any is given) and passes every test is listed with its path from the root of the image, in
order of the bytes of the names, a folder before what is in it. Symlinks are not followed, but for
those in PATH.

What is not printable is escaped; -0 writes names as they are. With --output json there is one
object a line, with the fields of ls.

Examples:
  forger find rootfs.ext4 '/etc/*.conf'
  forger find rootfs.ext4:/usr --type f --perm /6000
  forger find rootfs.ext4 --xattr security.capability
  forger find -0 rootfs.ext4:/var --type f --size +10M | xargs -0 -n 1 echo
  forger find --output json rootfs.ext4 --uid 1000 | jq -r .path

Exit status: 0 done, also when nothing was found; 1 failed, 2 wrong usage (forger --help says
more)."
)]
pub(crate) struct Args {
    #[arg(value_name = "IMAGE[:PATH]", help = ADDRESS_HELP)]
    address: OsString,

    /// Paths to list: '/etc/*.conf', '/usr/**/*.py', '*.so'
    #[arg(value_name = "GLOB")]
    globs: Vec<OsString>,

    /// Lists names that match, whatever folder they are in [default: any]
    #[arg(long, value_name = "GLOB")]
    name: Option<OsString>,

    /// Lists what is of a type: f (file), d (folder), l (symlink), c, b (devices), p (fifo), s
    /// (socket); several with commas [default: any]
    #[arg(short, long = "type", value_name = "TYPES", value_parser = test::parse_type, value_delimiter = ',')]
    types: Vec<FileType>,

    /// Lists what has a mode (0644), all bits of one (-4000), or any bit of one (/6000) [default: any]
    #[arg(long, value_name = "MODE", value_parser = test::parse_permissions, allow_hyphen_values = true)]
    perm: Option<Permissions>,

    /// Lists what a user id owns [default: any]
    #[arg(long, value_name = "UID")]
    uid: Option<u32>,

    /// Lists what a group id owns [default: any]
    #[arg(long, value_name = "GID")]
    gid: Option<u32>,

    /// Lists files of a size: 4K, or more (+10M) or less (-1G) than one [default: any]
    #[arg(long, value_name = "SIZE", value_parser = test::parse_size, allow_hyphen_values = true)]
    size: Option<Size>,

    /// Lists what has an extended attribute: security.capability, 'user.*' [default: any]
    #[arg(long, value_name = "GLOB")]
    xattr: Option<OsString>,

    /// Ends each path with a NUL and writes it as it is
    #[arg(short = '0', long)]
    print0: bool,

    #[command(flatten)]
    read: ReadArgs,
}

/// Prints what was found.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    if args.print0 && global.output == Format::Json {
        return Err(
            Failure::usage("--print0 and --output json contradict each other")
                .help("JSON needs no NULs: its names are escaped"),
        );
    }
    let opened = Opened::open(&args.address, &args.read)?;
    let mut finder = Finder {
        opened: &opened,
        globs: args.globs.iter().map(|glob| compiled(glob)).collect(),
        tests: Tests {
            name: args.name.as_deref().map(compiled),
            types: args.types.clone(),
            permissions: args.perm,
            uid: args.uid,
            gid: args.gid,
            size: args.size,
            xattr: args.xattr.as_deref().map(compiled),
        },
        format: global.output,
        print0: args.print0,
        lines: Lines::start(),
    };
    finder.find()?;
    finder.lines.finish()
}

fn compiled(glob: &std::ffi::OsStr) -> Glob {
    Glob::new(glob.as_bytes())
}

struct Finder<'a> {
    opened: &'a Opened,
    globs: Vec<Glob>,
    tests: Tests,
    format: Format,
    print0: bool,
    lines: Lines,
}

impl Finder<'_> {
    fn find(&mut self) -> Result<(), Failure> {
        let opened = self.opened;
        let image = &opened.image;
        let fail = |error| opened.failure(error);
        let start = opened.lookup(true)?;
        let path = absolute(opened.address.path_or_root());
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        self.consider(&path, name, Some(start.file_type()), || Ok(start.clone()))?;
        if start.file_type() != FileType::Directory {
            return Ok(());
        }
        let mut walk = image.walk(&start, &path).map_err(fail)?;
        while let Some(step) = walk.next() {
            let entry = step
                .map_err(|error| opened.failure_at(walk.path(), error))?
                .entry;
            if !self.globs.is_empty() && !self.may_match_below(walk.path()) {
                walk.skip_below();
            }
            let inode = || {
                image
                    .inode(entry.inode)
                    .map_err(|error| opened.failure_at(walk.path(), error))
            };
            self.consider(walk.path(), &entry.name, entry.file_type, inode)?;
        }
        Ok(())
    }

    fn may_match_below(&self, folder: &[u8]) -> bool {
        self.globs.iter().any(|glob| glob.may_match_below(folder))
    }

    /// Lists a node, if it is looked for; it is read only when its name and type say too little.
    fn consider(
        &mut self,
        path: &[u8],
        name: &[u8],
        file_type: Option<FileType>,
        inode: impl Fn() -> Result<Inode, Failure>,
    ) -> Result<(), Failure> {
        let globbed = self.globs.is_empty() || self.globs.iter().any(|glob| glob.matches(path));
        if !globbed || !self.tests.pass_name(name) {
            return Ok(());
        }
        let known = match file_type {
            Some(file_type) if !self.tests.need_inode() => {
                if !self.tests.pass_type(file_type) {
                    return Ok(());
                }
                None
            }
            _ => {
                let inode = inode()?;
                let xattrs = || self.opened.image.xattrs(&inode);
                let pass = self.tests.pass(&inode, xattrs);
                if !pass.map_err(|error| self.opened.failure_at(path, error))? {
                    return Ok(());
                }
                Some(inode)
            }
        };
        let path = if path.is_empty() { b"/" } else { path };
        if self.format == Format::Json {
            let inode = known.map_or_else(inode, Ok)?;
            let line = listing::json_line(self.opened, &inode, name, path)?;
            return self.lines.put(line);
        }
        if self.print0 {
            self.lines.put(path)?;
            return self.lines.put(b"\0");
        }
        self.lines.put(listing::shown(path))?;
        self.lines.put("\n")
    }
}

/// Returns a path as it is from the root, without slashes too many; the root is empty.
fn absolute(path: &[u8]) -> Vec<u8> {
    let mut absolute = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        if !part.is_empty() && part != b"." {
            absolute.push(b'/');
            absolute.extend_from_slice(part);
        }
    }
    absolute
}
