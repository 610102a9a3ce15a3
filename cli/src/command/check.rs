//! `forger check IMAGE`

use std::ffi::OsString;

use forger_fs::ext4::{self, Finding, Report, Severity};
use serde_json::json;

use crate::args::read::ReadArgs;
use crate::args::{Format, Global};
use crate::exit::Failure;
use crate::image::Opened;
use crate::print::{self, Stream};

/// Checks an image: every invariant that e2fsck's five passes test
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "\
Nothing is written. A journal that needs recovery is replayed in memory first. Each finding is one
line with its place; advice (what a check would improve but is no damage) is marked as such.

Examples:
  forger check rootfs.ext4
  forger check --output json rootfs.ext4 | jq .findings

Exit status: 0 no damage, 4 damage, 1 it could not be checked, 2 wrong usage."
)]
pub(crate) struct Args {
    /// An ext2, ext3 or ext4 image, or one in a disk: vm.qcow2#root
    #[arg(value_name = "IMAGE[#PART]")]
    image: OsString,

    #[command(flatten)]
    read: ReadArgs,
}

/// Prints what was found.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let opened = Opened::open_ext(&args.image, &args.read).map_err(Failure::or_damaged)?;
    let report = ext4::check(&opened.image).map_err(|error| opened.failure(error).or_damaged())?;
    let image = args.image.display();
    let text = match global.output {
        Format::Json => print::json_line(&json(&report)),
        Format::Text => text(&report),
    };
    print::result(Stream::Stdout, &text)?;
    match report.errors().count() {
        0 => Ok(()),
        1 => Err(Failure::damaged(format!("{image} is damaged"))),
        count => {
            let more = if report.cut { "at least " } else { "" };
            Err(Failure::damaged(format!(
                "{image} is damaged in {more}{count} places"
            )))
        }
    }
}

fn text(report: &Report) -> String {
    if report.findings.is_empty() {
        return "clean\n".into();
    }
    let line = |finding: &Finding| match finding.severity {
        Severity::Error => format!("{finding}\n"),
        Severity::Advice => format!("advice: {finding}\n"),
    };
    report.findings.iter().map(line).collect()
}

fn json(report: &Report) -> serde_json::Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "severity": match finding.severity {
                    Severity::Error => "error",
                    Severity::Advice => "advice",
                },
                "location": finding.location.to_string(),
                "damage": finding.damage.to_string(),
            })
        })
        .collect();
    json!({ "clean": report.errors().next().is_none(), "complete": !report.cut, "findings": findings })
}
