//! Guests that run commands in a root filesystem: kernels, backends and the control channel.
//!
//! A [`Guest`] is a machine whose kernel runs `forger-guest` as its first process. Its disks are
//! whatever can be read and written at an offset; commands, their output, files and connections go
//! over one framed channel ([`forger_wire`]). Nothing of what a guest says is believed or obeyed: all
//! of it is bounded, and what does not keep to the protocol ends the guest.
//!
//! The library starts processes, as no other one of forger does, and measures time; it prints nothing
//! and reads neither the environment nor the calendar's clock: time and random numbers come in by
//! [`Options`].
//!
//! # Example
//!
//! ```no_run
//! use forger_vm::{Event, Guest, Job, Options, uml::Uml};
//!
//! let backend = Uml {
//!     kernel: "/usr/bin/linux.uml".into(),
//!     memory_folders: vec!["/dev/shm".into(), "/tmp".into()],
//!     serve_disks: true,
//! };
//! // Without a disk, the guest has its initial RAM disk only.
//! let guest = Guest::boot(&backend, Options::default())?;
//! let process = guest.run(&Job { argv: vec![b"/init".to_vec()], ..Job::default() })?;
//! loop {
//!     match process.next()? {
//!         Event::Stdout(bytes) | Event::Stderr(bytes) => print!("{}", bytes.escape_ascii()),
//!         Event::Exit(ended) => break println!("{ended:?}"),
//!         _ => {}
//!     }
//! }
//! guest.shut_down()?;
//! # Ok::<(), forger_vm::Error>(())
//! ```
#![deny(unsafe_code)]

mod backend;
mod cause;
mod channel;
mod console;
mod error;
mod guest;
mod initramfs;
mod job;
pub mod kernel;
mod options;
pub mod proxy;
mod scratch;
mod transfer;

pub use forger_wire::{Ended, Job, Limit, MAX_DATA, Resource, Terminal};

#[cfg(target_arch = "x86_64")]
pub use backend::kvm;
pub use backend::{Access, Backend, Disk, Instance, Isolation, Machine, Started};
pub use backend::{canary, qemu, uml};
pub use cause::Cause;
pub use console::Console;
pub use error::{Error, Tail, Violation};
pub use guest::{Guest, Timings};
pub use initramfs::{Module, initramfs};
pub use job::{Event, Input, Process};
pub use options::{Mounted, Options};

/// The guest's first program, as it was built with this library.
pub const GUEST_INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/forger-guest"));
