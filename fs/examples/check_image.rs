//! Checks ext2, ext3 and ext4 images: `cargo run --example check_image IMAGE…`
//!
//! Prints what is wrong, a line each. The exit status is 0 when all images are clean, 4 when one is
//! damaged, 8 when one cannot be read, as that of `e2fsck -n`.

use std::process::ExitCode;
use std::sync::Arc;

use forger_block::{BlockRead, FileReader};
use forger_fs::ext4::{Image, ReadError, Severity, check};

fn main() -> ExitCode {
    let mut worst = 0;
    for path in std::env::args().skip(1) {
        match check_file(&path) {
            Ok(clean) => worst = worst.max(if clean { 0 } else { 4 }),
            Err(error) => {
                println!("{path}: {}", chain(&error));
                let damaged = matches!(error, ReadError::Corrupt { .. });
                worst = worst.max(if damaged { 4 } else { 8 });
            }
        }
    }
    ExitCode::from(worst)
}

/// Checks an image; tells whether it is clean.
fn check_file(path: &str) -> Result<bool, ReadError> {
    let source: Arc<dyn BlockRead> = Arc::new(FileReader::open(path)?);
    let report = check(&Image::open(source)?)?;
    for finding in &report.findings {
        let advice = if finding.severity == Severity::Advice {
            " (advice)"
        } else {
            ""
        };
        println!("{path}: {finding}{advice}");
    }
    Ok(report.is_clean())
}

/// Returns an error's text with those of its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
