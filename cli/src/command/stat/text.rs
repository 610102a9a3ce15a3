//! The facts of an inode as aligned lines.

use forger_fs::ext4::{Inode, Map};

use super::facts::Facts;
use crate::image::Opened;
use crate::listing::{self, flags, xattr};

/// Returns the lines.
pub(super) fn text(opened: &Opened, inode: &Inode, facts: &Facts) -> String {
    let superblock = opened.image.superblock();
    let space = inode.space(superblock);
    let mut lines = Lines::default();
    let path = listing::shown(opened.address.path_or_root());
    lines.add("path", path);
    if let Some(target) = &facts.target {
        lines.add("target", listing::shown(target));
    }
    lines.add("inode", inode.number().0);
    lines.add("type", listing::kind(inode.file_type()));
    let permissions = listing::permissions(inode);
    lines.add("mode", format!("{:04o} {permissions}", inode.mode()));
    lines.add("owner", format!("{}:{}", inode.uid(), inode.gid()));
    lines.add("size", inode.size());
    lines.add("blocks", format!("{} ({space} bytes)", space / 512));
    lines.add("links", inode.links());
    if let Some(device) = inode.device() {
        lines.add("device", format!("{}:{}", device.major, device.minor));
    }
    for (name, time) in [
        ("mtime", Some(inode.mtime())),
        ("atime", Some(inode.atime())),
        ("ctime", Some(inode.ctime())),
        ("crtime", inode.crtime()),
    ] {
        if let Some(time) = time {
            lines.add(name, listing::utc_nanoseconds(time));
        }
    }
    let names = flags::names(inode.flags()).join(" ");
    lines.add(
        "flags",
        format!("{} {names}", flags::letters(inode.flags())),
    );
    lines.add("generation", inode.generation());
    lines.add("project", inode.project());
    if let Some(block) = inode.xattr_block(superblock) {
        lines.add("xattr block", block.0);
    }
    for (name, value) in &facts.xattrs {
        lines.add("xattr", xattr::text(name, value));
    }
    if let Some(map) = &facts.map {
        extents(&mut lines, map, inode.is_inline());
    }
    lines.0
}

fn extents(lines: &mut Lines, map: &Map, inline: bool) {
    if inline {
        lines.add("content", "in the inode");
    }
    for block in &map.nodes {
        lines.add("map block", block.0);
    }
    for run in &map.runs {
        let last = |first: u64| first + run.len.saturating_sub(1);
        let unwritten = if run.unwritten { " unwritten" } else { "" };
        let (logical, physical) = (run.logical, run.physical.0);
        lines.add(
            "extent",
            format!(
                "{logical}-{} at {physical}-{}{unwritten}",
                last(logical),
                last(physical)
            ),
        );
    }
}

/// Lines of a name and a value each.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        let line = format!("{name:<12}{value}");
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }
}
