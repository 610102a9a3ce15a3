//! What the check of an image file finds.

use std::fmt;
use std::sync::Arc;

use forger_block::BlockRead;

use crate::detect::Format;
use crate::{OpenError, android_sparse, ova, qcow2, vhd, vhdx, vmdk};

/// So many findings are kept.
const LIMIT: usize = 1000;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Everything is as it should be but for something that deserves attention.
    Advice,
    /// Space of the file is lost, and nothing else.
    Leak,
    /// The image is damaged.
    Error,
}

/// Something wrong with an image file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Where it is.
    pub location: String,
    /// What is wrong.
    pub damage: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location, self.damage)
    }
}

/// All that a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The findings in the order of the check.
    pub findings: Vec<Finding>,
    /// Whether there were more findings than are listed: 1000.
    pub cut: bool,
    /// The worst of all, also of those that are not listed.
    worst: Option<Severity>,
}

impl Report {
    /// Returns the worst severity of all findings; none where there are none.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.worst
    }

    /// Tells whether nothing is damaged; space may be lost, and there may be advice.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.worst < Some(Severity::Error)
    }

    /// Adds damage.
    pub(crate) fn error(&mut self, location: impl fmt::Display, damage: impl fmt::Display) {
        self.push(Severity::Error, &location, &damage);
    }

    /// Adds lost space.
    pub(crate) fn leak(&mut self, location: impl fmt::Display, damage: impl fmt::Display) {
        self.push(Severity::Leak, &location, &damage);
    }

    /// Adds something that deserves attention.
    pub(crate) fn advise(&mut self, location: impl fmt::Display, damage: impl fmt::Display) {
        self.push(Severity::Advice, &location, &damage);
    }

    fn push(&mut self, severity: Severity, location: &dyn fmt::Display, damage: &dyn fmt::Display) {
        self.worst = self.worst.max(Some(severity));
        if self.findings.len() >= LIMIT {
            self.cut = true;
            return;
        }
        self.findings.push(Finding {
            severity,
            location: location.to_string(),
            damage: damage.to_string(),
        });
    }
}

/// Checks an image file of a format: its structures, not what the disk holds but where there are
/// checksums of it; nothing is written.
///
/// What an image builds on is not needed. A raw disk has nothing to check.
///
/// # Errors
/// A file that cannot be read, is of another format, or uses what is not known; damage is no error but
/// a finding.
pub fn check(file: &Arc<dyn BlockRead>, format: Format) -> Result<Report, OpenError> {
    match format {
        Format::Raw => Ok(Report::default()),
        Format::Qcow2 => Ok(qcow2::check(file)?),
        Format::Vhd => Ok(vhd::check(file)?),
        Format::Vhdx => Ok(vhdx::check(file)?),
        Format::Vmdk => Ok(vmdk::check(file)?),
        Format::AndroidSparse => Ok(android_sparse::check(file)?),
        Format::Ova => Ok(ova::check(file)?),
        Format::Foreign(name) => Err(OpenError::Foreign(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_counts_and_no_more_than_a_thousand_are_kept() {
        let mut report = Report::default();
        assert!(report.is_sound() && report.worst().is_none());
        report.advise("here", "odd");
        report.leak("there", "lost");
        assert!(report.is_sound());
        assert_eq!(report.worst(), Some(Severity::Leak));
        for _ in 0..1000 {
            report.advise("here", "odd");
        }
        assert!(report.cut && report.findings.len() == 1000);
        report.error("header", "bad");
        assert!(!report.is_sound());
        assert_eq!(report.findings[0].to_string(), "here: odd");
    }
}
