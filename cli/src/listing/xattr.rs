//! Extended attributes: as text, hexadecimal, capabilities or ACLs.

use forger_fs::tree::acl::Acl;
use forger_fs::tree::capability::{ATTRIBUTE, Capabilities};
use serde_json::{Value, json};

use super::shown;

/// What a value means.
enum Meaning {
    /// An ACL, as `getfacl` has it.
    Acl(String),
    /// Capabilities, as `getcap` has them.
    Capability(String),
    /// Printable text.
    Text(String),
    /// Anything else.
    Bytes,
}

fn meaning(name: &[u8], value: &[u8]) -> Meaning {
    let acl = matches!(
        name,
        b"system.posix_acl_access" | b"system.posix_acl_default"
    );
    if acl && let Ok(acl) = Acl::from_attribute(value) {
        return Meaning::Acl(acl.to_string());
    }
    if name == ATTRIBUTE
        && let Some(capabilities) = Capabilities::from_attribute(value)
    {
        return Meaning::Capability(capabilities.to_string());
    }
    // Labels of SELinux end with a NUL.
    let text = value.strip_suffix(b"\0").unwrap_or(value);
    match std::str::from_utf8(text) {
        Ok(text) if !text.contains(char::is_control) => Meaning::Text(text.to_owned()),
        _ => Meaning::Bytes,
    }
}

/// Returns `name=value` for a line.
pub(crate) fn text(name: &[u8], value: &[u8]) -> String {
    format!("{}={}", shown(name), value_text(name, value))
}

/// Returns a value for a line: text in quotes, other bytes as `0x…`.
pub(crate) fn value_text(name: &[u8], value: &[u8]) -> String {
    match meaning(name, value) {
        Meaning::Acl(text) | Meaning::Capability(text) => text,
        Meaning::Text(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        Meaning::Bytes => format!("0x{}", hex(value)),
    }
}

/// Returns an attribute as an object: its value in hexadecimal and, where it has one, its meaning.
pub(crate) fn json(name: &[u8], value: &[u8]) -> Value {
    let mut object = json!({ "name": shown(name), "hex": hex(value) });
    let (field, text) = match meaning(name, value) {
        Meaning::Acl(text) => ("acl", text),
        Meaning::Capability(text) => ("capability", text),
        Meaning::Text(text) => ("text", text),
        Meaning::Bytes => return object,
    };
    object[field] = text.into();
    object
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_by_what_they_mean() {
        assert_eq!(text(b"user.a", b"b \"c\""), "user.a=\"b \\\"c\\\"\"");
        assert_eq!(text(b"user.a", b""), "user.a=\"\"");
        assert_eq!(text(b"user.a", b"\x01\xff"), "user.a=0x01ff");
        assert_eq!(
            text(b"security.selinux", b"label\0"),
            "security.selinux=\"label\""
        );
        let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        assert_eq!(
            text(b"security.capability", capability),
            "security.capability=cap_net_raw=ep"
        );
        assert_eq!(
            text(b"security.capability", b"\x01\x02"),
            "security.capability=0x0102"
        );
    }
}
