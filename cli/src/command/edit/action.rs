//! Actions: read from words, and done.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use forger_fs::ext4::{EditError, Editor, Special};
use forger_fs::tree::{Device, Meta, Time, shown};

use super::ahead::Ahead;
use super::put;
use super::words::Words;
use crate::args::time::When;
use crate::args::{owner, uuid};
use crate::config::Environment;
use crate::exit::Failure;

/// Raw bytes, as names and values come.
pub(super) type Bytes = Vec<u8>;

/// What shall be done.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    Put {
        source: PathBuf,
        path: Bytes,
        recursive: bool,
        facts: Facts,
    },
    Mkdir {
        paths: Vec<Bytes>,
        parents: bool,
        facts: Facts,
    },
    Remove {
        paths: Vec<Bytes>,
        recursive: bool,
        force: bool,
    },
    Link {
        existing: Bytes,
        path: Bytes,
    },
    Symlink {
        target: Bytes,
        path: Bytes,
        facts: Facts,
    },
    Mknod {
        path: Bytes,
        special: Special,
        facts: Facts,
    },
    Rename {
        from: Bytes,
        to: Bytes,
    },
    Chmod {
        mode: u16,
        paths: Vec<Bytes>,
    },
    Chown {
        uid: Option<u32>,
        gid: Option<u32>,
        paths: Vec<Bytes>,
    },
    Touch {
        paths: Vec<Bytes>,
        time: Option<When>,
    },
    SetXattr {
        path: Bytes,
        name: Bytes,
        value: Bytes,
    },
    RemoveXattr {
        path: Bytes,
        name: Bytes,
    },
    SetLabel(Bytes),
    SetUuid([u8; 16]),
}

/// What new files are like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Facts {
    pub(super) mode: Option<u16>,
    pub(super) owner: Option<(u32, u32)>,
    pub(super) time: Option<When>,
}

impl Facts {
    pub(super) fn meta(self, mode: u16, environment: &Environment) -> Meta {
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        Meta {
            mode: self.mode.unwrap_or(mode),
            uid,
            gid,
            mtime: self.time.map(|when| at(when, environment)),
            ..Meta::default()
        }
    }
}

fn at(when: When, environment: &Environment) -> Time {
    match when {
        When::At(time) => time,
        When::Now => (environment.clock)(),
    }
}

/// Reads an action from its words.
pub(super) fn parse(mut words: Vec<Bytes>) -> Result<Action, String> {
    if words.is_empty() {
        return Err("an action is missing".to_owned());
    }
    let verb = words.remove(0);
    let read = Words::read;
    Ok(match &verb[..] {
        b"put" => put(read(words, &["-r"], &["--mode", "--owner", "--time"])?)?,
        b"mkdir" => {
            let words = read(words, &["-p"], &["--mode", "--owner", "--time"])?;
            let (facts, parents) = (words.facts, words.has("-p"));
            let paths = words.some("mkdir PATH…")?;
            Action::Mkdir {
                paths,
                parents,
                facts,
            }
        }
        b"rm" => {
            let words = read(words, &["-r", "-f", "-rf", "-fr"], &[])?;
            let both = words.has("-rf") || words.has("-fr");
            let (recursive, force) = (both || words.has("-r"), both || words.has("-f"));
            let paths = words.some("rm PATH…")?;
            Action::Remove {
                paths,
                recursive,
                force,
            }
        }
        b"ln" => link(read(words, &["-s"], &["--owner", "--time"])?)?,
        b"mknod" => mknod(read(words, &[], &["--mode", "--owner", "--time"])?)?,
        b"mv" => {
            let [from, to] = read(words, &[], &[])?.exactly("mv FROM TO")?;
            Action::Rename { from, to }
        }
        b"chmod" => {
            let mut paths = read(words, &[], &[])?.some("chmod MODE PATH…")?;
            let mode = mode(&text(paths.remove(0))?)?;
            let paths = at_least_one(paths, "chmod MODE PATH…")?;
            Action::Chmod { mode, paths }
        }
        b"chown" => {
            let mut paths = read(words, &[], &[])?.some("chown UID:GID PATH…")?;
            let (uid, gid) = owners(&text(paths.remove(0))?)?;
            let paths = at_least_one(paths, "chown UID:GID PATH…")?;
            Action::Chown { uid, gid, paths }
        }
        b"touch" => {
            let words = read(words, &[], &["--time"])?;
            let time = words.facts.time;
            let paths = words.some("touch PATH…")?;
            Action::Touch { paths, time }
        }
        b"setxattr" => {
            let [path, name, value] = exact(words, "setxattr PATH NAME VALUE")?;
            let value = xattr_value(value)?;
            Action::SetXattr { path, name, value }
        }
        b"rmxattr" => {
            let [path, name] = exact(words, "rmxattr PATH NAME")?;
            Action::RemoveXattr { path, name }
        }
        b"set-label" => {
            let [label] = exact(words, "set-label LABEL")?;
            Action::SetLabel(label)
        }
        b"set-uuid" => {
            let [uuid] = exact(words, "set-uuid UUID")?;
            Action::SetUuid(uuid::parse(&text(uuid)?)?)
        }
        other => return Err(format!("{} is no action", shown(other))),
    })
}

/// Takes words as they are: values may begin with a hyphen.
fn exact<const N: usize>(words: Vec<Bytes>, usage: &str) -> Result<[Bytes; N], String> {
    words.try_into().map_err(|_| format!("expected {usage}"))
}

fn at_least_one(paths: Vec<Bytes>, usage: &str) -> Result<Vec<Bytes>, String> {
    if paths.is_empty() {
        return Err(format!("expected {usage}"));
    }
    Ok(paths)
}

fn put(words: Words) -> Result<Action, String> {
    let (facts, recursive) = (words.facts, words.has("-r"));
    let [source, path] = words.exactly("put [-r] SRC DEST")?;
    if recursive && facts.mode.is_some() {
        return Err("put -r takes modes from SRC; chmod changes them afterwards".to_owned());
    }
    if recursive && source == b"-" {
        return Err("put -r takes a folder, not standard input".to_owned());
    }
    Ok(Action::Put {
        source: PathBuf::from(OsString::from_vec(source)),
        path,
        recursive,
        facts,
    })
}

fn link(words: Words) -> Result<Action, String> {
    let (facts, symbolic) = (words.facts, words.has("-s"));
    if symbolic {
        let [target, path] = words.exactly("ln -s TARGET PATH")?;
        return Ok(Action::Symlink {
            target,
            path,
            facts,
        });
    }
    if facts != Facts::default() {
        return Err("a hard link has the facts of its file; --owner is for ln -s".to_owned());
    }
    let [existing, path] = words.exactly("ln EXISTING PATH")?;
    Ok(Action::Link { existing, path })
}

fn mknod(words: Words) -> Result<Action, String> {
    const USAGE: &str = "mknod PATH b|c MAJOR MINOR, or mknod PATH p|s";
    let facts = words.facts;
    let wrong = || format!("expected {USAGE}");
    let mut rest = words.some(USAGE)?.into_iter();
    let path = rest.next().ok_or_else(wrong)?;
    let kind = rest.next().ok_or_else(wrong)?;
    let numbers: Vec<u32> = rest
        .map(|word| text(word)?.parse().map_err(|_| wrong()))
        .collect::<Result<_, _>>()?;
    let special = match (&kind[..], &numbers[..]) {
        (b"p", []) => Special::Fifo,
        (b"s", []) => Special::Socket,
        (b"b", [major, minor]) => Special::BlockDevice(Device {
            major: *major,
            minor: *minor,
        }),
        (b"c" | b"u", [major, minor]) => Special::CharDevice(Device {
            major: *major,
            minor: *minor,
        }),
        _ => return Err(wrong()),
    };
    Ok(Action::Mknod {
        path,
        special,
        facts,
    })
}

pub(super) fn text(word: Bytes) -> Result<String, String> {
    String::from_utf8(word).map_err(|error| format!("{} is no text", shown(error.as_bytes())))
}

pub(super) fn mode(text: &str) -> Result<u16, String> {
    u16::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or_else(|| format!("{text} is no mode: expected octal digits, as in 0644"))
}

/// Reads `UID`, `UID:`, `UID:GID` or `:GID`.
fn owners(text: &str) -> Result<(Option<u32>, Option<u32>), String> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, ""));
    let read = |text: &str| match text {
        "" => Some(None),
        text => owner::id(text).map(Some),
    };
    match (read(uid), read(gid)) {
        (Some(uid), Some(gid)) if uid.is_some() || gid.is_some() => Ok((uid, gid)),
        _ => Err(format!(
            "{text} is no owner: expected UID:GID in numbers, UID or :GID"
        )),
    }
}

/// Reads the value of an attribute: `0x` and hexadecimal digits, or text.
fn xattr_value(word: Bytes) -> Result<Bytes, String> {
    let Some(digits) = word.strip_prefix(b"0x") else {
        return Ok(word);
    };
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let value: Option<Bytes> = digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect();
    value.ok_or_else(|| "0x is not followed by pairs of hexadecimal digits".to_owned())
}

/// What actions need besides the image.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) environment: Environment,
    /// The files that are put, in order.
    pub(super) files: Ahead,
}

/// Why an action could not be done.
#[derive(Debug)]
pub(super) struct Undone {
    place: Option<String>,
    what: String,
    cause: Box<dyn std::error::Error + Send + Sync>,
    help: Option<&'static str>,
}

impl Undone {
    pub(super) fn new(
        what: impl Into<String>,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            place: None,
            what: what.into(),
            cause: cause.into(),
            help: None,
        }
    }

    /// Says what could not be done to a path of the image.
    pub(super) fn at_path(what: &str, path: &[u8], error: EditError) -> Self {
        Self::new(format!("cannot {what} {}", shown(path)), error)
    }

    /// Says what helps.
    pub(super) fn help(mut self, help: &'static str) -> Self {
        self.help = Some(help);
        self
    }

    /// Says where the action was asked for.
    pub(super) fn at(mut self, place: &str) -> Self {
        self.place = Some(place.to_owned());
        self
    }

    pub(super) fn into_failure(self) -> Failure {
        let what = match self.place {
            Some(place) => format!("{place}: {}", self.what),
            None => self.what,
        };
        let help = self.help;
        Failure::failed(what)
            .because(self.cause)
            .help(help.unwrap_or("nothing was changed: all actions are done, or none"))
    }
}

impl Action {
    /// Does it, in the editor's transaction.
    pub(super) fn apply(
        &self,
        editor: &mut Editor,
        surroundings: &Surroundings,
    ) -> Result<(), Undone> {
        let environment = &surroundings.environment;
        let failed = Undone::at_path;
        let each =
            |what: &str, paths: &[Bytes], act: &mut dyn FnMut(&[u8]) -> Result<(), EditError>| {
                paths
                    .iter()
                    .try_for_each(|path| act(path).map_err(|error| failed(what, path, error)))
            };
        match self {
            Self::Put {
                source,
                path,
                recursive,
                facts,
            } => {
                let put = if *recursive { put::tree } else { put::file };
                put(editor, source, path, *facts, surroundings)
            }
            Self::Mkdir {
                paths,
                parents,
                facts,
            } => {
                let meta = facts.meta(0o755, environment);
                each("make", paths, &mut |path| {
                    editor.mkdir(path, &meta, *parents)
                })
            }
            Self::Remove {
                paths,
                recursive,
                force,
            } => each("remove", paths, &mut |path| {
                if *force && editor.kind(path)?.is_none() {
                    return Ok(());
                }
                editor.remove(path, *recursive)
            }),
            Self::Link { existing, path } => editor
                .link(existing, path)
                .map_err(|error| failed("make the link", path, error)),
            Self::Symlink {
                target,
                path,
                facts,
            } => editor
                .symlink(target, path, &facts.meta(0o777, environment))
                .map_err(|error| failed("make the symlink", path, error)),
            Self::Mknod {
                path,
                special,
                facts,
            } => editor
                .mknod(path, *special, &facts.meta(0o644, environment))
                .map_err(|error| failed("make", path, error)),
            Self::Rename { from, to } => editor
                .rename(from, to)
                .map_err(|error| failed("move", from, error)),
            Self::Chmod { mode, paths } => each("change the mode of", paths, &mut |path| {
                editor.chmod(path, *mode)
            }),
            Self::Chown { uid, gid, paths } => each("change the owner of", paths, &mut |path| {
                editor.chown(path, *uid, *gid)
            }),
            Self::Touch { paths, time } => {
                let time = time.map(|when| at(when, environment));
                each("change the times of", paths, &mut |path| match time {
                    Some(time) => editor.touch(path, Some(time), Some(time)),
                    None => editor.touch_now(path),
                })
            }
            Self::SetXattr { path, name, value } => editor
                .set_xattr(path, name, value)
                .map_err(|error| failed("set an attribute of", path, error)),
            Self::RemoveXattr { path, name } => editor
                .remove_xattr(path, name)
                .map_err(|error| failed("remove an attribute of", path, error)),
            Self::SetLabel(label) => editor
                .set_label(label)
                .map_err(|error| failed("set the label", label, error)),
            Self::SetUuid(uuid) => editor
                .set_uuid(*uuid)
                .map_err(|error| failed("set the uuid", uuid::text(uuid).as_bytes(), error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Action, String> {
        parse(super::super::script::words(line.as_bytes()).unwrap())
    }

    #[test]
    fn options_stand_anywhere() {
        let facts = Facts {
            mode: Some(0o644),
            owner: Some((1, 2)),
            time: None,
        };
        let put = Action::Put {
            source: "a".into(),
            path: b"/b".to_vec(),
            recursive: false,
            facts,
        };
        for line in [
            "put a /b --mode 644 --owner 1:2",
            "put --mode=0644 a --owner=1:2 /b",
        ] {
            assert_eq!(read(line).as_ref(), Ok(&put), "{line}");
        }
    }

    #[test]
    fn owners_are_given_in_part() {
        for (line, uid, gid) in [
            ("chown 1:2 /a", Some(1), Some(2)),
            ("chown 1 /a", Some(1), None),
            ("chown 1: /a", Some(1), None),
            ("chown :2 /a", None, Some(2)),
        ] {
            let paths = vec![b"/a".to_vec()];
            assert_eq!(read(line), Ok(Action::Chown { uid, gid, paths }), "{line}");
        }
    }

    #[test]
    fn values_of_attributes_are_text_or_hexadecimal() {
        assert_eq!(xattr_value(b"-x".to_vec()), Ok(b"-x".to_vec()));
        assert_eq!(xattr_value(b"0x00fF".to_vec()), Ok(vec![0, 255]));
        assert!(xattr_value(b"0x0".to_vec()).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "put a",
            "put a b c",
            "rm",
            "rm -x /a",
            "chmod 999 /a",
            "chmod 644",
            "chown : /a",
            "chown root /a",
            "mknod /a b 1",
            "mknod /a x",
            "ln /a",
            "ln --owner 1:1 /a /b",
            "frobnicate",
            "set-uuid 12",
            "mkdir --mode",
            "touch --time never /a",
            "mv /a",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
