//! An init for a machine that runs a container image: a script that does what the image's configuration says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use forger_block::BlockRead;
use forger_fs::observe::Note;
use forger_fs::source::{BodyPlace, BodyRun, Entry, EntryKind, Error, Source};
use forger_fs::tree::{Meta, Time};
use forger_oci::ImageConfiguration;

use crate::exit::Failure;

/// Where the script is put.
const PATH: &[u8] = b"sbin/forger-init";

/// Sources, each with whether a folder in it keeps a symlink that it finds in its place.
type Sources = Vec<(Box<dyn Source>, bool)>;

/// Adds the script behind the sources, which are watched for the shell that it needs.
///
/// # Errors
/// An image that does not say what to start.
pub(super) fn add(sources: Sources, config: &ImageConfiguration) -> Result<Sources, Failure> {
    let script = script(config)?;
    let shell = Arc::new(AtomicBool::new(false));
    let mut watched: Sources = sources
        .into_iter()
        .map(|(source, keep)| -> (Box<dyn Source>, bool) {
            let shell = Arc::clone(&shell);
            (Box::new(Watched { source, shell }), keep)
        })
        .collect();
    let init = Init {
        shell,
        entries: VecDeque::from([entry(script.len() as u64)]),
        script,
        read: true,
    };
    watched.push((Box::new(init), true));
    Ok(watched)
}

fn entry(size: u64) -> Entry {
    Entry {
        path: PATH.to_vec(),
        kind: EntryKind::File { size },
        meta: Meta {
            mode: 0o755,
            mtime: Some(Time::from_sec(0)),
            ..Meta::default()
        },
        offset: None,
    }
}

/// A source that is watched for a shell.
struct Watched {
    source: Box<dyn Source>,
    shell: Arc<AtomicBool>,
}

impl Source for Watched {
    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        let entry = self.source.next_entry()?;
        if let Some(entry) = &entry
            && (entry.path.ends_with(b"bin/sh") || entry.path.ends_with(b"bin/busybox"))
        {
            self.shell.store(true, Ordering::Relaxed);
        }
        Ok(entry)
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, Error> {
        self.source.next_run()
    }

    fn next_place(&mut self) -> Result<Option<BodyPlace>, Error> {
        self.source.next_place()
    }

    fn origin(&self) -> Option<Arc<dyn BlockRead>> {
        self.source.origin()
    }

    fn keeps_folders(&self) -> bool {
        self.source.keeps_folders()
    }

    fn has_whiteouts(&self) -> bool {
        self.source.has_whiteouts()
    }

    fn take_notes(&mut self) -> Vec<Note> {
        self.source.take_notes()
    }
}

/// An image has nothing that runs the script.
#[derive(Debug, thiserror::Error)]
#[error("--init-from-config needs /bin/sh, which the image does not have")]
struct NoShell;

/// The script as a source.
struct Init {
    shell: Arc<AtomicBool>,
    entries: VecDeque<Entry>,
    script: Vec<u8>,
    read: bool,
}

impl Source for Init {
    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        if !self.shell.load(Ordering::Relaxed) {
            return Err(Error::Other(Box::new(NoShell)));
        }
        self.read = false;
        Ok(self.entries.pop_front())
    }

    fn next_run(&mut self) -> Result<Option<BodyRun<'_>>, Error> {
        if std::mem::replace(&mut self.read, true) {
            return Ok(None);
        }
        Ok(Some(BodyRun::Data {
            bytes: &self.script,
            at: None,
        }))
    }
}

/// Writes the script.
fn script(config: &ImageConfiguration) -> Result<Vec<u8>, Failure> {
    let run = config.config().as_ref();
    let list = |list: Option<&Option<Vec<String>>>| list.and_then(Clone::clone).unwrap_or_default();
    let mut command = list(run.map(|run| run.entrypoint()));
    command.extend(list(run.map(|run| run.cmd())));
    if command.is_empty() {
        return Err(Failure::failed(
            "--init-from-config: the image's configuration says nothing to start",
        )
        .help("forger oci mutate --entrypoint sets it"));
    }
    let text = |text: Option<&Option<String>>| text.and_then(Clone::clone).unwrap_or_default();
    let user = text(run.map(|run| run.user()));
    let folder = text(run.map(|run| run.working_dir()));
    let folder = if folder.is_empty() { "/" } else { &folder };
    let mut lines = vec![
        "#!/bin/sh".to_owned(),
        "# Made from the configuration of a container image.".to_owned(),
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH".to_owned(),
        "[ -e /proc/self ] || mount -t proc proc /proc".to_owned(),
        "[ -e /sys/kernel ] || mount -t sysfs sysfs /sys".to_owned(),
        "[ -e /dev/null ] || mount -t devtmpfs devtmpfs /dev".to_owned(),
        "ip link set lo up 2>/dev/null".to_owned(),
    ];
    for variable in list(run.map(|run| run.env())) {
        let Some((name, value)) = variable.split_once('=') else {
            continue;
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty()
            || !name.bytes().all(plain)
            || name.starts_with(|first: char| first.is_ascii_digit())
        {
            return Err(Failure::failed(format!(
                "--init-from-config: a shell cannot set the variable {name:?} of the image's configuration"
            )));
        }
        lines.push(format!("export {name}={}", quoted(value)));
    }
    lines.push(format!("cd {} || exit 1", quoted(folder)));
    let command: Vec<String> = command.iter().map(|word| quoted(word)).collect();
    lines.push(format!("set -- {}", command.join(" ")));
    lines.extend(as_user(&user));
    lines.extend([
        "\"$@\"".to_owned(),
        "code=$?".to_owned(),
        "echo \"forger-init: ended with status $code\"".to_owned(),
        "sync".to_owned(),
        "echo o > /proc/sysrq-trigger".to_owned(),
        "poweroff -f".to_owned(),
        "while :; do sleep 1000; done".to_owned(),
    ]);
    Ok((lines.join("\n") + "\n").into_bytes())
}

/// Returns the lines that let what follows run as a user: by whatever program the image has for that.
fn as_user(user: &str) -> Vec<String> {
    let (name, group) = user.split_once(':').unwrap_or((user, ""));
    if matches!(name, "" | "0" | "root") && matches!(group, "" | "0" | "root") {
        return Vec::new();
    }
    let both = quoted(user);
    let name = quoted(name);
    let groups = match group {
        "" => "--init-groups".to_owned(),
        group => format!("--regid {} --clear-groups", quoted(group)),
    };
    let gid = match group {
        "" => format!("--regid \"$(id -g {name} 2>/dev/null || echo {name})\" "),
        _ => String::new(),
    };
    vec![
        format!(
            "if command -v setpriv >/dev/null; then set -- setpriv --reuid {name} {gid}{groups} -- \"$@\""
        ),
        format!("elif command -v su-exec >/dev/null; then set -- su-exec {both} \"$@\""),
        format!("elif command -v gosu >/dev/null; then set -- gosu {both} \"$@\""),
        format!(
            "elif chroot --userspec={both} / true 2>/dev/null; then set -- chroot --userspec={both} --skip-chdir / \"$@\""
        ),
        format!(
            "else echo \"forger-init: nothing here can run a program as \"{both}; set -- false; fi"
        ),
    ]
}

/// Quotes a word for the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> ImageConfiguration {
        let whole = format!(
            r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":[]}},"config":{json}}}"#
        );
        forger_oci::manifest::parse("test", whole.as_bytes()).unwrap()
    }

    #[test]
    fn script_quotes_what_the_configuration_says() {
        let config = config(
            r#"{"Entrypoint":["/bin/app","it's"],"Cmd":["$HOME"],"Env":["A=b c","E="],"WorkingDir":"/srv","User":"10:20"}"#,
        );
        let script = String::from_utf8(script(&config).unwrap()).unwrap();
        for line in [
            r"set -- '/bin/app' 'it'\''s' '$HOME'",
            "export A='b c'",
            "export E=''",
            "cd '/srv' || exit 1",
        ] {
            assert!(
                script.lines().any(|found| found == line),
                "{line}\n{script}"
            );
        }
        assert!(script.contains("setpriv --reuid '10' --regid '20' --clear-groups"));
    }

    #[test]
    fn what_cannot_be_started_is_refused() {
        assert!(script(&config("{}")).is_err());
        assert!(script(&config(r#"{"Cmd":["a"],"Env":["a;b=c"]}"#)).is_err());
    }
}
