//! `forger oci mutate IMAGE`

use std::ffi::OsString;

use forger_oci::image::Draft;
use serde_json::{Value, json};

use super::ImageArgs;
use super::changed::{Changed, DestinationArgs, WriteArgs};
use crate::args::Global;
use crate::exit::Failure;
use crate::print::{self, Stream};
use crate::progress::Console;

/// Changes how an image is run and what it says of itself
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Layers stay as they are; the image gets a new digest and keeps its name, unless --to names another.
What forger does not know of a configuration stays in it.

Examples:
  forger oci mutate oci:image:latest --env PORT=8080 --user 1000:1000 --entrypoint /bin/app --entrypoint -v
  forger oci mutate oci:image:latest --annotation org.opencontainers.image.source=https://example.org

Exit status: 0 done, 1 failed, 2 wrong usage (forger --help says more).")]
pub(super) struct Args {
    #[command(flatten)]
    image: ImageArgs,

    /// The image to make: oci:DIR[:NAME], oci-archive:FILE, docker-archive:FILE or oci://REGISTRY/NAME
    /// [default: IMAGE itself, in a layout]
    #[arg(short, long = "to", value_name = "IMAGE")]
    to: Option<OsString>,

    #[command(flatten)]
    run: RunArgs,

    #[command(flatten)]
    write: WriteArgs,
}

/// What an image says of itself.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub(super) struct RunArgs {
    /// Word of the program that is started (repeatable, in order); '' alone removes it
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    entrypoint: Vec<String>,

    /// Word of the arguments behind the entrypoint (repeatable, in order); '' alone removes them
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    cmd: Vec<String>,

    /// Sets a variable of the environment (repeatable); NAME without = removes it
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// User, perhaps with a group; '' removes it [default: as it was]
    #[arg(long, value_name = "USER[:GROUP]")]
    user: Option<String>,

    /// Folder to start in; '' removes it [default: as it was]
    #[arg(long, value_name = "PATH")]
    workdir: Option<String>,

    /// Signal that stops the program; '' removes it [default: as it was]
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,

    /// Port that the program listens to (repeatable)
    #[arg(long, value_name = "PORT[/tcp|/udp]")]
    expose: Vec<String>,

    /// Folder for data that is not the image's (repeatable)
    #[arg(long, value_name = "PATH")]
    volume: Vec<String>,

    /// Sets a label of the configuration (repeatable); NAME without = removes it
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,

    /// Sets an annotation of the manifest (repeatable); NAME without = removes it
    #[arg(long, value_name = "NAME=VALUE")]
    annotation: Vec<String>,

    /// Who made the image; '' removes it [default: as it was]
    #[arg(long, value_name = "TEXT")]
    author: Option<String>,
}

/// Changes the image.
pub(super) fn run(args: &Args, global: Global) -> Result<(), Failure> {
    let mut console = Console::start(global)?;
    let mutated = mutate(args, global, &mut console);
    let text = console.conclude(mutated)?;
    print::result(Stream::Stdout, &text)
}

fn mutate(args: &Args, global: Global, console: &mut Console) -> Result<String, Failure> {
    let (image, network) = args.image.open_for(args.to.as_ref(), console)?;
    let to = DestinationArgs {
        write: &args.write,
        network: &network,
    };
    let mut changed = Changed::begin(&image, args.to.as_ref(), &to, console)?;
    changed.take_layers(&image)?;
    args.run.apply(&mut changed.draft)?;
    changed
        .draft
        .history(args.write.history("forger oci mutate", false));
    changed.finish(global, console)
}

impl RunArgs {
    /// Changes a configuration as the options say.
    pub(super) fn apply(&self, draft: &mut Draft) -> Result<(), Failure> {
        for (key, words) in [("Entrypoint", &self.entrypoint), ("Cmd", &self.cmd)] {
            match &words[..] {
                [] => {}
                [none] if none.is_empty() => *draft.config_mut(&["config", key]) = Value::Null,
                words => *draft.config_mut(&["config", key]) = json!(words),
            }
        }
        for (path, text) in [
            (&["config", "User"][..], &self.user),
            (&["config", "WorkingDir"], &self.workdir),
            (&["config", "StopSignal"], &self.stop_signal),
            (&["author"], &self.author),
        ] {
            if let Some(text) = text {
                let value = if text.is_empty() {
                    Value::Null
                } else {
                    json!(text)
                };
                *draft.config_mut(path) = value;
            }
        }
        if !self.env.is_empty() {
            set_variables(draft.config_mut(&["config", "Env"]), &self.env);
        }
        for (key, names) in [("ExposedPorts", &self.expose), ("Volumes", &self.volume)] {
            for name in names {
                let name = match (key, name.contains('/')) {
                    ("ExposedPorts", false) => format!("{name}/tcp"),
                    _ => name.clone(),
                };
                *draft.config_mut(&["config", key, &name]) = json!({});
            }
        }
        for label in &self.label {
            let (name, value) = pair(label);
            *draft.config_mut(&["config", "Labels", name]) = value.map_or(Value::Null, Value::from);
        }
        for annotation in &self.annotation {
            match pair(annotation) {
                ("", _) => return Err(Failure::usage("--annotation: the name is missing")),
                (name, Some(value)) => {
                    draft
                        .annotations_mut()
                        .insert(name.to_owned(), value.into());
                }
                (name, None) => drop(draft.annotations_mut().remove(name)),
            }
        }
        Ok(())
    }
}

fn pair(text: &str) -> (&str, Option<&str>) {
    match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    }
}

/// Sets and removes variables in a list of `NAME=VALUE`; those that stay keep their place.
fn set_variables(list: &mut Value, changes: &[String]) {
    if !list.is_array() {
        *list = json!([]);
    }
    let Some(list) = list.as_array_mut() else {
        return;
    };
    for change in changes {
        let (name, value) = pair(change);
        let at = list
            .iter()
            .position(|old| old.as_str().is_some_and(|old| pair(old).0 == name));
        match (at, value) {
            (Some(at), Some(_)) => list[at] = json!(change),
            (Some(at), None) => drop(list.remove(at)),
            (None, Some(_)) => list.push(json!(change)),
            (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_set_in_place_added_and_removed() {
        let mut list = json!(["A=1", "B=2", "C=3"]);
        let changes = [
            "B=4".to_owned(),
            "A".to_owned(),
            "D=".to_owned(),
            "E".to_owned(),
        ];
        set_variables(&mut list, &changes);
        assert_eq!(list, json!(["B=4", "C=3", "D="]));
    }
}
