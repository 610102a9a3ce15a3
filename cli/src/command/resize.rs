//! `forger resize IMAGE SIZE`

use std::ffi::OsString;

use forger_disk::partition::Wanted;
use forger_fs::ext4::{Committed, EditError, Planned, ResizeError, Resizer};
use serde_json::json;

use super::edit::{time_of, way};
use super::subject::{self, Subject};
use crate::args::size::{self, NewSize, both};
use crate::args::time::{self, When};
use crate::args::{Format, Global};
use crate::config::Environment;
use crate::exit::Failure;
use crate::print::{self, Stream};
use crate::remedy;

/// Grows or shrinks an ext2, ext3 or ext4 image, in a partition too, and grows disks
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    long_about = "Grows or shrinks an ext2, ext3 or ext4 image that is not mounted, and its file.\n\n\
                  It grows as far as there is room for group descriptors (1 TiB for images of forger mkfs, \
                  more with its --max-size), and takes no space for what it adds. It shrinks as far as nothing \
                  in use stands in the way: nothing is moved. Blocks and inodes are as many as resize2fs \
                  would make them.\n\n\
                  In the last partition of a disk (disk.raw#root) it grows with its partition, and the \
                  disk as far as needed. A disk alone becomes longer, and the backup of its GPT moves to its \
                  new end. Of another image than a raw one (qcow2, vhd, vhdx, vmdk) a copy is made in the same \
                  format, which takes its name.\n\n\
                  The change is one transaction through the image's own journal; where there is none, or the \
                  change does not fit it, a copy is changed, which then takes the image's name. The image is \
                  locked meanwhile. One that is dirty, or has features that would not be kept right (quotas, \
                  bigalloc, mmp), is refused.",
    after_long_help = "\
SIZE is one of
  4G, 1.5GiB, 10GB    so much; rounded down to whole blocks, and by up to a group where the last group
                      would be too small
  +2G, +20%           so much more than it is
  -2G, -20%           so much less
  min                 the smallest size that is possible without moving anything
  max                 all of the file, device or partition that it stands in, as after truncate -s

Examples:
  forger resize disk.ext4 20G
  forger resize disk.ext4 +512M --output json
  forger resize --dry-run disk.ext4 min
  forger resize vm.qcow2#root +2G       filesystem, partition and disk
  forger resize disk.raw 20G            the disk alone, its partition table moved along
  forger mkfs disk.ext4 small.ext4      moves everything together, for a shrink beyond min

Exit status: 0 done, 1 failed and nothing changed, 2 wrong usage (forger --help says more)."
)]
pub(crate) struct Args {
    /// The image to resize: a file or a block device; a disk, or a partition of one: vm.qcow2#root
    #[arg(value_name = "IMAGE[#PART]")]
    image: OsString,

    /// The size that the filesystem shall have, see below
    #[arg(value_name = "SIZE", allow_hyphen_values = true, value_parser = size::new_size)]
    size: NewSize,

    /// Time of the last write: @SECONDS, RFC 3339 or now [default: SOURCE_DATE_EPOCH, else now]
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    time: Option<When>,

    /// Says what would be done, but writes nothing
    #[arg(long)]
    dry_run: bool,
}

/// Resizes, and prints what it came to.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let environment = Environment::real();
    let now = time_of(args.time, &environment)?;
    let mut subject = Subject::open(&args.image)?;
    let address = subject.address.clone();
    let shown = address.disk();
    let cannot = |error: ResizeError| match (&error, Subject::other(&address)) {
        (ResizeError::Edit(edit), Some(other)) if subject::is_other(edit) => other,
        _ => explain(format!("cannot resize {shown}"), error),
    };
    let before = subject.filesystem_len();
    if let (None, Some(disk)) = (before, subject.whole_disk()) {
        return args.resize_disk(subject, disk, global);
    }
    let wanted = before.and_then(|before| args.size.known(before));
    let disk = subject.make_room(wanted.unwrap_or(0), args.dry_run)?;
    let (mut resizer, copy) = subject.resizer(now).map_err(cannot)?;
    let size = args.bytes(&mut resizer).map_err(cannot)?;
    let planned = resizer.plan(size).map_err(cannot)?;
    let done = Done::of(&planned, disk);
    let committed = if args.dry_run {
        None
    } else {
        Some(planned.commit().map_err(cannot)?)
    };
    match copy {
        Some(copy) if committed.is_none() => copy.check()?,
        Some(copy) => copy.publish(global)?,
        None => {}
    }
    let text = match global.output {
        Format::Text => done.text(&shown, committed),
        Format::Json => done.json(&shown, committed),
    };
    print::result(Stream::Stdout, &text)
}

impl Args {
    /// Returns the size that was asked for, in bytes.
    fn bytes(&self, resizer: &mut Resizer) -> Result<u64, ResizeError> {
        let now = resizer.superblock().size();
        Ok(match self.size.known(now) {
            Some(bytes) => bytes,
            None if self.size == NewSize::Smallest => resizer.smallest()?,
            None => resizer.room(),
        })
    }

    /// Makes a disk longer whose partitions stay as they are; its partition table follows.
    fn resize_disk(
        &self,
        mut subject: Subject,
        before: u64,
        global: Global,
    ) -> Result<(), Failure> {
        let shown = subject.address.disk();
        let size = self.size.known(before).ok_or_else(|| {
            Failure::usage(format!("{shown} is a disk, whose size is a number")).help(format!(
                "min and max are for partitions, as in {shown}#root"
            ))
        })?;
        let wanted = Wanted { size, end: None };
        subject.grow_disk(wanted, self.dry_run)?;
        match subject.copy() {
            Some(copy) if self.dry_run => copy.check()?,
            Some(copy) => copy.publish(global)?,
            None => {}
        }
        let text = match global.output {
            Format::Text => print::rows([
                ("path", Some(shown)),
                ("before", Some(both(before))),
                ("size", Some(both(size))),
            ]),
            Format::Json => print::json_line(&json!({
                "path": shown,
                "before": before,
                "size": size,
                "dry_run": self.dry_run,
            })),
        };
        print::result(Stream::Stdout, &text)
    }
}

/// What was, and what is.
struct Done {
    before: u64,
    after: u64,
    groups: u32,
    inodes: u32,
    /// Length of the disk, where it became longer.
    disk: Option<u64>,
}

impl Done {
    fn of(planned: &Planned, disk: Option<u64>) -> Self {
        Self {
            disk,
            before: planned.before(),
            after: planned.after(),
            groups: planned.groups(),
            inodes: planned.inodes(),
        }
    }

    fn text(&self, image: &str, committed: Option<Committed>) -> String {
        let way = match committed {
            None => "tried only".to_owned(),
            Some(done) => format!("{}, {} blocks of metadata", way(done.way), done.blocks),
        };
        print::rows([
            ("path", Some(image.to_owned())),
            ("before", Some(both(self.before))),
            ("size", Some(both(self.after))),
            ("disk", self.disk.map(both)),
            ("groups", Some(self.groups.to_string())),
            ("inodes", Some(self.inodes.to_string())),
            ("way", Some(way)),
        ])
    }

    fn json(&self, image: &str, committed: Option<Committed>) -> String {
        print::json_line(&json!({
            "path": image,
            "before": self.before,
            "size": self.after,
            "groups": self.groups,
            "inodes": self.inodes,
            "disk": self.disk,
            "dry_run": committed.is_none(),
            "way": committed.map(|done| way(done.way)),
            "metadata_blocks": committed.map(|done| done.blocks),
        }))
    }
}

/// Explains why an image could not be resized.
fn explain(what: String, error: ResizeError) -> Failure {
    let error = match error {
        ResizeError::Edit(EditError::Block(error)) => return remedy::block(what, error),
        error => error,
    };
    let help = match &error {
        ResizeError::Edit(EditError::State { .. } | EditError::Damaged { .. }) => {
            Some("let e2fsck -f mend it first; nothing was changed".to_owned())
        }
        ResizeError::Edit(EditError::Locked { .. }) => {
            Some("wait until the other program is done".to_owned())
        }
        ResizeError::Edit(EditError::NoRoomForCopy { .. }) => {
            Some("make room in the image's folder".to_owned())
        }
        ResizeError::Edit(EditError::Features { .. }) => Some(
            "forger mkfs IMAGE NEW --size SIZE copies it into a filesystem of another size".into(),
        ),
        ResizeError::TooSmall { smallest, .. } => Some(format!(
            "{smallest} is the smallest size without moving anything; forger mkfs IMAGE NEW makes a compact copy"
        )),
        ResizeError::Reserve { .. } | ResizeError::Memory { .. } => Some(
            "forger mkfs IMAGE NEW --size SIZE --max-size SIZE makes a copy with more room".into(),
        ),
        ResizeError::Device { .. } => Some("max takes all of the device".into()),
        ResizeError::Trailing { end, .. } => Some(format!(
            "what stands there would be lost; truncate -s {end} IMAGE drops it, if it may go"
        )),
        _ => None,
    };
    Failure::failed(what).because(error).help_if(help)
}
