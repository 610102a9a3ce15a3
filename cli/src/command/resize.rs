//! `forger resize IMAGE SIZE`

use std::path::PathBuf;

use forger_fs::ext4::{Committed, EditError, Planned, ResizeError, Resizer};
use serde_json::json;

use super::edit::{time_of, way};
use crate::args::size::{self, NewSize, human};
use crate::args::time::{self, When};
use crate::args::{Format, Global};
use crate::config::Environment;
use crate::exit::Failure;
use crate::print::{self, Stream};
use crate::remedy;

/// Grows or shrinks an ext2, ext3 or ext4 image
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    long_about = "Grows or shrinks an ext2, ext3 or ext4 image that is not mounted, and its file.\n\n\
                  It grows as far as there is room for group descriptors (1 TiB for images of forger mkfs, \
                  more with its --max-size), and takes no space for what it adds. It shrinks as far as nothing \
                  in use stands in the way: nothing is moved. Blocks and inodes are as many as resize2fs \
                  would make them.\n\n\
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
  max                 all of the file or device that it stands in, as after truncate -s

Examples:
  forger resize disk.ext4 20G
  forger resize disk.ext4 +512M --output json
  forger resize --dry-run disk.ext4 min
  forger mkfs disk.ext4 small.ext4      moves everything together, for a shrink beyond min

Exit status: 0 done, 1 failed and nothing changed, 2 wrong usage (forger --help says more)."
)]
pub(crate) struct Args {
    /// The image to resize: a file or a block device
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

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
    let shown = args.image.display().to_string();
    let cannot = |error: ResizeError| explain(format!("cannot resize {shown}"), error);
    let mut resizer = Resizer::open(&args.image, now).map_err(cannot)?;
    let size = args.bytes(&mut resizer).map_err(cannot)?;
    let planned = resizer.plan(size).map_err(cannot)?;
    let done = Done::of(&planned);
    let committed = if args.dry_run {
        None
    } else {
        Some(planned.commit().map_err(cannot)?)
    };
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
        Ok(match self.size {
            NewSize::Bytes(bytes) => bytes,
            NewSize::More(part) => now.saturating_add(part.of(now)),
            NewSize::Less(part) => now.saturating_sub(part.of(now)),
            NewSize::Smallest => resizer.smallest()?,
            NewSize::Largest => resizer.room(),
        })
    }
}

/// What was, and what is.
struct Done {
    before: u64,
    after: u64,
    groups: u32,
    inodes: u32,
}

impl Done {
    fn of(planned: &Planned) -> Self {
        Self {
            before: planned.before(),
            after: planned.after(),
            groups: planned.groups(),
            inodes: planned.inodes(),
        }
    }

    fn text(&self, image: &str, committed: Option<Committed>) -> String {
        let size = |bytes| format!("{bytes} bytes ({})", human(bytes));
        let way = match committed {
            None => "tried only".to_owned(),
            Some(done) => format!("{}, {} blocks of metadata", way(done.way), done.blocks),
        };
        format!(
            "path    {image}\nbefore  {}\nsize    {}\ngroups  {}\ninodes  {}\nway     {way}\n",
            size(self.before),
            size(self.after),
            self.groups,
            self.inodes,
        )
    }

    fn json(&self, image: &str, committed: Option<Committed>) -> String {
        print::json_line(&json!({
            "path": image,
            "before": self.before,
            "size": self.after,
            "groups": self.groups,
            "inodes": self.inodes,
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
