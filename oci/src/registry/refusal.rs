//! What a registry says when it says no
//! ([distribution-spec, "Error Codes"](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes)).

use std::time::Duration;

use serde::Deserialize;

use super::Error;
use crate::http::{Method, Response};

/// The longest explanation that is read, in bytes.
const LIMIT: u64 = 64 << 10;
/// The longest explanation that is shown, in characters.
const SHOWN: usize = 400;

#[derive(Deserialize)]
struct Explanation {
    #[serde(default)]
    errors: Vec<Fault>,
    /// Of a token service.
    details: Option<String>,
    error_description: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    code: String,
    message: Option<String>,
}

/// Who was asked, for what, by whom.
pub(super) struct Asked<'a> {
    /// The registry.
    pub(super) host: &'a str,
    /// The repository.
    pub(super) repository: &'a str,
    /// Whether credentials were shown.
    pub(super) known: bool,
}

/// Makes an error of an answer that is none of those hoped for.
pub(super) fn refusal(method: Method, asked: &Asked<'_>, mut response: Response) -> Error {
    let reason = reason(&mut response);
    let status = response.status();
    let after = response.header("retry-after");
    let after = after.and_then(|value| value.trim().parse().ok());
    match status {
        429 => Error::RateLimited {
            host: asked.host.to_owned(),
            reason,
            after: after.map(Duration::from_secs),
        },
        401 | 403 => Error::Unauthorized {
            host: asked.host.to_owned(),
            repository: asked.repository.to_owned(),
            known: asked.known,
            reason,
        },
        _ => Error::Refused {
            method: method.name(),
            url: response.url().to_string(),
            status,
            reason,
        },
    }
}

/// Returns what an answer says about itself, as one line that is safe to show.
pub(super) fn reason(response: &mut Response) -> String {
    let bytes = response.bytes(LIMIT).unwrap_or_default();
    let text = explain(&bytes);
    match text.is_empty() {
        true => format!("status {}", response.status()),
        false => text,
    }
}

fn explain(bytes: &[u8]) -> String {
    let explanation: Option<Explanation> = serde_json::from_slice(bytes).ok();
    let text = match explanation {
        Some(explanation) => said(explanation),
        // A page for people says nothing here.
        None if bytes.starts_with(b"<") => String::new(),
        None => String::from_utf8_lossy(bytes).into_owned(),
    };
    let text: Vec<&str> = text.split_whitespace().collect();
    let visible = |letter: &char| !letter.is_control();
    text.join(" ").chars().filter(visible).take(SHOWN).collect()
}

fn said(explanation: Explanation) -> String {
    let faults = explanation
        .errors
        .into_iter()
        .map(|fault| match fault.message {
            Some(message) if !message.is_empty() => format!("{message} ({})", fault.code),
            _ => fault.code,
        });
    let faults: Vec<String> = faults.collect();
    let other = explanation.error_description;
    let other = other.or(explanation.details).or(explanation.message);
    match faults.is_empty() {
        true => other.unwrap_or_default(),
        false => faults.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanations_become_one_safe_line() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no\n\u001b[2Jentry","detail":{}},{"code":"X"}]}"#;
        assert_eq!(explain(body), "no [2Jentry (DENIED); X");
        assert_eq!(
            explain(br#"{"details":"incorrect username or password"}"#),
            "incorrect username or password"
        );
        assert_eq!(explain(b"<html>404</html>"), "");
        assert_eq!(explain(b"plain\ntext"), "plain text");
        assert_eq!(explain(&[b'a'; 4096]).len(), SHOWN);
    }
}
