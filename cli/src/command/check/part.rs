//! A part of what is checked, and what was found there.

use std::sync::Arc;

use forger::address::Address;
use forger_block::BlockRead;
use forger_disk::{Report, Severity};
use forger_fs::ext4::{self, Image, ReadError};
use forger_fs::fat;
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::fat_view;
use crate::medium::Medium;

/// A part of what is checked: an image file, a partition table, a filesystem.
pub(super) struct Part {
    /// How it is called; empty where there is nothing else.
    name: String,
    found: Vec<Found>,
    /// Whether there was more than is listed.
    pub(super) cut: bool,
    /// Why it was not checked.
    left_out: Option<String>,
}

/// A finding.
struct Found {
    severity: Severity,
    location: String,
    damage: String,
}

impl Part {
    fn new(name: String) -> Self {
        Self {
            name,
            found: Vec::new(),
            cut: false,
            left_out: None,
        }
    }

    /// Takes what the check of an image file or a table found.
    pub(super) fn of_report(name: String, report: Report) -> Self {
        let found = report.findings.into_iter().map(|finding| Found {
            severity: finding.severity,
            location: finding.location,
            damage: finding.damage,
        });
        Self {
            found: found.collect(),
            cut: report.cut,
            ..Self::new(name)
        }
    }

    /// Says that something could not be checked.
    pub(super) fn left_out(name: String, failure: &Failure) -> Self {
        Self {
            left_out: Some(failure.in_short()),
            ..Self::new(name)
        }
    }

    /// Checks the filesystem that a medium holds.
    ///
    /// # Errors
    /// When it holds none that can be checked.
    pub(super) fn of_filesystem(
        name: String,
        address: &Address,
        medium: &Medium,
    ) -> Result<Self, Failure> {
        if let Some(fat) = Self::of_fat(&name, &medium.reader) {
            return Ok(fat);
        }
        let image = crate::image::filesystem(address, medium).map_err(Failure::or_damaged)?;
        let report = ext4::check(&image).map_err(|error| {
            let what = format!("cannot read {}", address.disk());
            Failure::failed(what).because(error).or_damaged()
        })?;
        Ok(Self::of_ext4(name, report))
    }

    /// Checks the filesystem of a partition, if there is one that can be checked.
    pub(super) fn of_partition(name: String, reader: &Arc<dyn BlockRead>) -> Self {
        if let Some(fat) = Self::of_fat(&name, reader) {
            return fat;
        }
        let checked = Image::open(Arc::clone(reader)).and_then(|image| ext4::check(&image));
        match checked {
            Ok(report) => Self::of_ext4(name, report),
            Err(ReadError::NotExt { .. }) => Self {
                left_out: Some("it holds no ext2, ext3, ext4 or FAT".to_owned()),
                ..Self::new(name)
            },
            Err(error @ ReadError::Corrupt { .. }) => Self {
                found: vec![Found::error("filesystem", &error)],
                ..Self::new(name)
            },
            Err(error) => {
                let failure = Failure::failed("cannot read it").because(error);
                Self::left_out(name, &failure)
            }
        }
    }

    fn of_ext4(name: String, report: ext4::Report) -> Self {
        let found = report.findings.iter().map(|finding| Found {
            severity: match finding.severity {
                ext4::Severity::Error => Severity::Error,
                ext4::Severity::Advice => Severity::Advice,
            },
            location: finding.location.to_string(),
            damage: finding.damage.to_string(),
        });
        Self {
            found: found.collect(),
            cut: report.cut,
            ..Self::new(name)
        }
    }

    /// Follows the folders and chains of a FAT, if there is one.
    fn of_fat(name: &str, reader: &Arc<dyn BlockRead>) -> Option<Self> {
        let name = name.to_owned();
        let followed = match fat_view::volume(reader) {
            Ok(None) => return None,
            Ok(Some(volume)) => volume.tree().map(drop),
            Err(error) => Err(error),
        };
        Some(match followed {
            Ok(()) => Self::new(name),
            Err(error @ fat::ReadError::Block(_)) => {
                let failure = Failure::failed("cannot read it").because(error);
                Self::left_out(name, &failure)
            }
            Err(error) => Self {
                found: vec![Found::error("FAT", &error)],
                ..Self::new(name)
            },
        })
    }

    /// Counts the damage.
    pub(super) fn errors(&self) -> usize {
        let is_error = |found: &&Found| found.severity == Severity::Error;
        self.found.iter().filter(is_error).count()
    }

    /// Returns the worst severity of what was found.
    pub(super) fn worst(&self) -> Option<Severity> {
        self.found.iter().map(|found| found.severity).max()
    }

    /// Returns the findings, one a line, or that there are none.
    pub(super) fn text(&self) -> String {
        let name = match self.name.as_str() {
            "" => String::new(),
            name => format!("{name}: "),
        };
        if let Some(reason) = &self.left_out {
            return format!("{name}not checked: {reason}\n");
        }
        if self.found.is_empty() {
            return format!("{name}clean\n");
        }
        let line = |found: &Found| {
            let mark = match found.severity {
                Severity::Error => "",
                Severity::Leak => "leak: ",
                Severity::Advice => "advice: ",
            };
            format!("{mark}{name}{}: {}\n", found.location, found.damage)
        };
        self.found.iter().map(line).collect()
    }

    /// Returns what became of the part.
    pub(super) fn json(&self) -> Value {
        let state = match (&self.left_out, self.worst()) {
            (Some(_), _) => "not checked",
            (None, Some(Severity::Error)) => "damaged",
            (None, Some(Severity::Leak)) => "leaks",
            (None, Some(Severity::Advice) | None) => "clean",
        };
        json!({ "part": self.part(), "state": state, "reason": self.left_out })
    }

    /// Returns the findings.
    pub(super) fn findings_json(&self) -> impl Iterator<Item = Value> {
        self.found.iter().map(|found| {
            json!({
                "part": self.part(),
                "severity": match found.severity {
                    Severity::Error => "error",
                    Severity::Leak => "leak",
                    Severity::Advice => "advice",
                },
                "location": found.location,
                "damage": found.damage,
            })
        })
    }

    fn part(&self) -> Option<&str> {
        (!self.name.is_empty()).then_some(&*self.name)
    }
}

impl Found {
    fn error(location: &str, error: &dyn std::error::Error) -> Self {
        Self {
            severity: Severity::Error,
            location: location.to_owned(),
            damage: error.to_string(),
        }
    }
}
