//! Files in the syntax of systemd's units: sections, keys, values (systemd.syntax(7)).

use super::super::{Error, Place};

/// A line that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) place: Place,
}

/// Reads the assignments of the one section that a file may have.
pub(super) fn assignments(file: &str, text: &str, section: &str) -> Result<Vec<Assignment>, Error> {
    let mut found = Vec::new();
    let mut inside = false;
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let place = Place {
            file: file.to_owned(),
            line: Some(index + 1),
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name.strip_suffix(']').unwrap_or(name);
            inside = name == section;
            if !inside {
                let problem = format!("the section [{name}]: there is [{section}] only");
                return Err(Error::at(&place, problem));
            }
            continue;
        }
        let mut whole = line.to_owned();
        // A backslash at the end goes on in the next line that is no comment.
        while let Some(begun) = whole.strip_suffix('\\') {
            let mut more = lines.by_ref().map(|(_, line)| line.trim());
            let next = more.find(|line| !line.starts_with(['#', ';']));
            whole = format!("{begun} {}", next.unwrap_or_default());
        }
        let Some((key, value)) = whole.split_once('=') else {
            return Err(Error::at(&place, format!("{whole:?} is no KEY=VALUE")));
        };
        if !inside {
            let problem = format!("{} stands before [{section}]", key.trim());
            return Err(Error::at(&place, problem));
        }
        found.push(Assignment {
            key: key.trim().to_owned(),
            value: value.trim().to_owned(),
            place,
        });
    }
    Ok(found)
}

/// Reads a truth value.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

/// Reads a size: bytes, or with K, M, G, T in powers of 1024.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "B" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1_u64 << 40,
        _ => return None,
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| plain)?;
    let bytes = number.checked_mul(unit);
    bytes.filter(|bytes| *bytes <= forger_block::MAX_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_keys_and_values_with_their_places() {
        let text = "# first\n[Partition]\n\nType = root\n; more\nCopyFiles=/a \\\n# inside\n  /b\n";
        let found = assignments("x.conf", text, "Partition").unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|one| format!("{} {}={}", one.place, one.key, one.value))
            .collect();
        assert_eq!(shown, ["x.conf:4 Type=root", "x.conf:6 CopyFiles=/a  /b"]);
    }

    #[test]
    fn what_is_no_assignment_is_refused_with_its_line() {
        for (text, line) in [
            ("Type=root\n", 1),
            ("[Partition]\n\nType\n", 3),
            ("[Partition]\n[Other]\n", 2),
        ] {
            let error = assignments("x.conf", text, "Partition").unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("x.conf:{line}: ")),
                "{error}"
            );
        }
    }

    #[test]
    fn sizes_and_truth_are_read() {
        assert_eq!(bytes("512"), Some(512));
        assert_eq!(bytes("10M"), Some(10 << 20));
        assert_eq!(bytes("1T"), Some(1 << 40));
        for text in ["", "M", "1.5G", "10m", "-1", "99999999999T"] {
            assert_eq!(bytes(text), None, "{text}");
        }
        assert_eq!(truth("Yes"), Some(true));
        assert_eq!(truth("off"), Some(false));
        assert_eq!(truth(""), None);
    }
}
