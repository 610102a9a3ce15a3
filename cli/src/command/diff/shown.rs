//! A difference as a line, and as a JSON object.

use forger_fs::tree::compare::{Change, Difference, Fact, Mismatch};
use forger_fs::tree::{Device, InodeFlags, Time};
use serde_json::{Value, json};

use crate::listing::{self, flags, xattr};

/// Returns a difference as a line.
pub(in crate::command) fn line(difference: &Difference) -> String {
    let path = path(difference);
    match &difference.change {
        Change::Added(kind) => format!("+ {path} ({kind})\n"),
        Change::Removed(kind) => format!("- {path} ({kind})\n"),
        Change::Changed(facts) => {
            let facts: Vec<String> = facts.iter().map(fact).collect();
            format!("~ {path}: {}\n", facts.join(", "))
        }
    }
}

/// Returns a difference as an object.
pub(in crate::command) fn json(difference: &Difference) -> Value {
    let path = path(difference);
    match &difference.change {
        Change::Added(kind) => json!({ "path": path, "change": "added", "type": kind }),
        Change::Removed(kind) => json!({ "path": path, "change": "removed", "type": kind }),
        Change::Changed(facts) => {
            let facts: Vec<Value> = facts.iter().map(json_fact).collect();
            json!({ "path": path, "change": "changed", "differences": facts })
        }
    }
}

fn path(difference: &Difference) -> String {
    format!("/{}", listing::shown(&difference.path))
}

fn fact(fact: &Fact) -> String {
    match fact {
        Fact::Content(Mismatch { offset, exact }) => match exact {
            true => format!("content from byte {offset} on"),
            false => format!("content in the 64 KiB from byte {offset} on"),
        },
        Fact::Xattr { name, from, to } => {
            let value = |value: &Option<Vec<u8>>| match value {
                Some(value) => xattr::value_text(name, value),
                None => "none".to_owned(),
            };
            let name = listing::shown(name);
            format!("{name} {} -> {}", value(from), value(to))
        }
        fact => {
            let (name, [from, to]) = plain(fact);
            let text = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
            format!("{name} {} -> {}", text(from), text(to))
        }
    }
}

fn json_fact(fact: &Fact) -> Value {
    match fact {
        Fact::Content(Mismatch { offset, exact }) => {
            json!({ "what": "content", "offset": offset, "exact": exact })
        }
        Fact::Size { from, to } => json!({ "what": "size", "from": from, "to": to }),
        Fact::Project { from, to } => json!({ "what": "project", "from": from, "to": to }),
        Fact::Owner { from, to } => {
            let owner = |(uid, gid): &(u32, u32)| json!({ "uid": uid, "gid": gid });
            json!({ "what": "owner", "from": owner(from), "to": owner(to) })
        }
        Fact::Xattr { name, from, to } => {
            let value =
                |value: &Option<Vec<u8>>| value.as_ref().map(|value| xattr::json(name, value));
            let (from, to) = (value(from), value(to));
            json!({ "what": "xattr", "name": listing::shown(name), "from": from, "to": to })
        }
        fact => {
            let (name, [from, to]) = plain(fact);
            json!({ "what": name, "from": from, "to": to })
        }
    }
}

/// Returns the name of a fact and its two values as text.
fn plain(fact: &Fact) -> (&'static str, [Option<String>; 2]) {
    let (name, [from, to]) = match fact {
        Fact::Type { from, to } => ("type", [*from, *to].map(str::to_owned)),
        Fact::Mode { from, to } => ("mode", [from, to].map(|mode| format!("{mode:04o}"))),
        Fact::Owner { from, to } => ("owner", [from, to].map(|(uid, gid)| format!("{uid}:{gid}"))),
        Fact::Size { from, to } => ("size", [from, to].map(u64::to_string)),
        Fact::Target { from, to } => ("target", [from, to].map(|target| listing::shown(target))),
        Fact::Device { from, to } => ("device", [from, to].map(device)),
        Fact::Flags { from, to } => ("flags", [from, to].map(letters)),
        Fact::Project { from, to } => ("project", [from, to].map(u32::to_string)),
        Fact::Time { name, from, to } => {
            return (name, [from, to].map(|time| time.map(utc)));
        }
        Fact::Link { from, to } => {
            let name = |first: &Option<Vec<u8>>| {
                let first = first.as_deref()?;
                Some(format!("/{}", listing::shown(first)))
            };
            return ("link", [from, to].map(name));
        }
        // What has its own form, or does not come in comparisons that are not exact.
        other => ("other", [format!("{other:?}"), String::new()]),
    };
    (name, [Some(from), Some(to)])
}

fn device(device: &Device) -> String {
    format!("{}:{}", device.major, device.minor)
}

fn letters(flags: &InodeFlags) -> String {
    flags::letters(flags.0)
}

fn utc(time: Time) -> String {
    listing::utc(time)
}
