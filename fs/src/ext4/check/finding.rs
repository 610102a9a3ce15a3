//! What a check finds.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::fmt;

use crate::ext4::damage::{Damage, Location};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Files and space are as they should be, and `e2fsck` does not count it as damage: a stale
    /// copy of the superblock, totals that are summed up again at every mount.
    Advice,
    /// The filesystem is damaged, and `e2fsck` would mend it.
    Error,
}

/// Something wrong with a filesystem, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Where it is.
    pub location: Location,
    /// What is wrong.
    pub damage: Damage,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location, self.damage)
    }
}

/// All that a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The findings in the order of the check: superblock and groups, inodes, directories, names,
    /// bitmaps and counts.
    pub findings: Vec<Finding>,
    /// Whether the check stopped because there were as many findings as it may list.
    pub cut: bool,
    pub(super) limit: usize,
}

impl Report {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            findings: Vec::new(),
            cut: false,
            limit,
        }
    }

    /// Returns the findings that are errors.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
    }

    /// Tells whether there are no errors; there may be advice.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.errors().next().is_none()
    }

    pub(super) fn push(&mut self, severity: Severity, location: Location, damage: Damage) {
        if self.findings.len() >= self.limit {
            self.cut = true;
            return;
        }
        self.findings.push(Finding {
            severity,
            location,
            damage,
        });
    }
}
