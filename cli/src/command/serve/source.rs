//! What is served: an image's disk, or a filesystem that nobody ever writes.

use std::path::Path;
use std::sync::Arc;

use forger_disk::{Disk, Format};
use forger_fs::ext4::{self, LockedFile, Size};

use super::Args;
use crate::args::size::human;
use crate::args::source::{Named, SourceArgs};
use crate::config::Environment;
use crate::exit::Failure;
use crate::input::{Inputs, Way};
use crate::medium::{self, Medium};
use crate::planned;
use crate::progress::Console;
use crate::remedy;

/// A disk, and what has to stay as it is meanwhile.
pub(super) struct Served {
    disk: Disk,
    from: From,
}

enum From {
    Image(Box<Medium>),
    Sources(Box<Inputs>),
    /// It is written to.
    Itself,
}

impl Served {
    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Checks that what was read is still what it was.
    ///
    /// # Errors
    /// When it is not: clients may have seen a mixture.
    pub(super) fn check_unchanged(&self) -> Result<(), Failure> {
        match &self.from {
            From::Image(medium) => medium.file.check_unchanged(),
            From::Sources(inputs) => inputs.check_unchanged(),
            From::Itself => Ok(()),
        }
        .map_err(|error| remedy::block("cannot vouch for what was served".to_owned(), error))
    }
}

/// Opens what shall be served.
///
/// # Errors
/// What cannot be opened, planned, or written in place.
pub(super) fn open(args: &Args, console: &mut Console) -> Result<Served, Failure> {
    if args.mkfs {
        return plan(args, console);
    }
    let address = medium::address(&args.image)?;
    let medium = Medium::open(&address, &args.read)?;
    if !args.in_place {
        return Ok(Served {
            disk: Disk::ReadOnly(Arc::clone(&medium.reader)),
            from: From::Image(Box::new(medium)),
        });
    }
    let raw = medium.container.format() == Format::Raw && !medium.is_packed();
    if !raw || medium.part.is_some() {
        return Err(Failure::failed(format!(
            "cannot let clients write to {}: only a whole raw disk is written in place",
            address.disk()
        ))
        .help("--overlay memory or file, and --save OUT for the result"));
    }
    drop(medium);
    let file = LockedFile::open(Path::new(&address.image)).map_err(|error| {
        Failure::failed(format!("cannot write to {}", address.disk())).because(error)
    })?;
    Ok(Served {
        disk: Disk::Writable(Arc::new(file)),
        from: From::Itself,
    })
}

/// Plans a filesystem, whose contents are read when a client wants them; what can be read only once is
/// kept in an unnamed file.
fn plan(args: &Args, console: &mut Console) -> Result<Served, Failure> {
    let named = Named::any(args.image.clone());
    let source = SourceArgs {
        read: args.read.clone(),
        platform: args.platform.clone(),
        network: args.network.clone(),
        ..SourceArgs::default()
    };
    let environment = Environment::real();
    let time = crate::args::image::environment_time(&environment)?;
    let mut options = ext4::Options {
        time,
        ..ext4::Options::default()
    };
    if let Some(size) = args.size {
        options.size = Size::Exact(size - size % ext4::BLOCK_SIZE);
    }
    let mut inputs = Inputs::open_as(
        Way::InPlace,
        &named,
        &source,
        options.ignore,
        &environment,
        console,
    )?;
    let planned = planned::filesystem(&mut inputs, &options, &named.shown(), console)?;
    if planned.kept > 0 {
        console.detail(&format!(
            "{} of {} can be read only once: they are in an unnamed file",
            human(planned.kept),
            named.shown()
        ));
    }
    Ok(Served {
        disk: Disk::ReadOnly(planned.disk),
        from: From::Sources(Box::new(inputs)),
    })
}
