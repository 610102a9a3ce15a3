//! The log of what the guest fetched.

use std::fmt::Write as _;
use std::path::Path;

use forger_vm::proxy::Request;
use serde_json::json;

use crate::exit::Failure;

/// Writes one object a line.
pub(super) fn write_log(path: &Path, requests: &[Request]) -> Result<(), Failure> {
    let lines: String = requests.iter().map(line).collect();
    std::fs::write(path, lines).map_err(|error| {
        Failure::failed(format!("cannot write the log {}", path.display())).because(error)
    })
}

fn line(request: &Request) -> String {
    let digest = request.sha256.map(|digest| {
        digest.iter().fold(String::new(), |mut text, byte| {
            // A string takes everything.
            let _ = write!(text, "{byte:02x}");
            text
        })
    });
    let object = json!({
        "method": request.method,
        "url": request.url,
        "status": request.status,
        "received": request.received,
        "sent": request.sent,
        "sha256": digest,
        "problem": request.problem,
    });
    format!("{object}\n")
}
