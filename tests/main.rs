//! Integration tests: forger judged by independent tools.
//!
//! Each module is a topic. A test whose tools or rights are missing reports itself as skipped; with
//! `REQUIRE_TOOLS=1` it fails instead.

mod alone;
mod boot;
mod boundaries;
mod bundle;
mod catalog;
mod check;
mod containers;
mod corpus;
mod create;
mod diff;
mod disk;
mod disk_changes;
mod du;
mod edit;
mod extract;
mod find;
mod folder;
mod formats;
mod guest;
mod guest_contract;
mod guest_hostile;
mod hostile;
mod inspect;
mod interrupted;
mod kernel;
#[cfg(target_arch = "x86_64")]
mod kvm;
mod large;
mod machines;
mod maintenance;
mod mkfs;
mod oci;
mod options;
mod partition;
mod property;
mod qcow2;
mod read;
mod refused;
mod registry;
mod resize;
mod same_bytes;
mod sample;
mod secrets;
mod semantics;
mod serve;
mod stat;
mod tidy;
mod verity;
mod vfat;
