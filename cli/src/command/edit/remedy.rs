//! What helps when an image cannot be edited.

use forger::address::Address;
use forger_fs::ext4::EditError;

use crate::exit::Failure;

/// What to do about features that cannot be edited.
const FEATURES: &[(&str, &str)] = &[
    ("quota", "tune2fs -O ^quota"),
    ("project", "tune2fs -O ^project"),
    ("mmp", "tune2fs -O ^mmp"),
    ("read-only", "tune2fs -O ^read-only"),
    ("shared_blocks", "e2fsck -f -E unshare_blocks"),
];

/// Explains why an image could not be edited, and what helps; nothing was changed.
pub(super) fn explain(image: &Address, error: EditError) -> Failure {
    let shown = image.disk();
    let help = match &error {
        EditError::State { .. } | EditError::Damaged { .. } | EditError::Read(_)
            if image.part.is_some() =>
        {
            format!("forger convert {shown} PART.raw takes it out, for e2fsck -f to look at and mend")
        }
        EditError::State { remedy, .. } => format!("{remedy} {shown}"),
        EditError::Damaged { .. } | EditError::Read(_) => {
            format!("e2fsck -fn {shown} says more, e2fsck -fy {shown} mends it")
        }
        EditError::Features { names } => features(names, image),
        EditError::Locked { .. } => "wait until the other program is done".to_owned(),
        EditError::NoRoomForCopy { .. } => {
            "make room in the image's folder; no copy is needed where the change fits the image's journal"
                .to_owned()
        }
        EditError::NoJournal { .. } => format!(
            "make fewer changes at once, or enlarge the journal: tune2fs -O ^has_journal {shown}, then \
             tune2fs -J size=64 {shown}"
        ),
        EditError::Names { .. } => {
            "copy the image to a name of its own, and edit that".to_owned()
        }
        EditError::Full { what: "blocks" } => {
            format!("remove something, or make it larger: forger resize {shown} SIZE")
        }
        _ => return failure(image, error),
    };
    failure(image, error).help(help)
}

fn failure(image: &Address, error: EditError) -> Failure {
    Failure::failed(format!("cannot edit {}", image.disk())).because(error)
}

fn features(names: &[String], image: &Address) -> String {
    let remedies: Option<Vec<String>> = names
        .iter()
        .map(|name| {
            let known = FEATURES.iter().find(|(feature, _)| feature == name);
            known.map(|(_, command)| format!("{command} {}", image.disk()))
        })
        .collect();
    match remedies {
        Some(commands) => format!(
            "{}, and once it is edited turn it on again",
            commands.join("; ")
        ),
        None => "mount it and change it there; or make a new image of it: forger mkfs IMAGE NEW"
            .to_owned(),
    }
}
