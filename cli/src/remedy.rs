//! What helps against the libraries' errors, in terms of this command line.

use forger::bundle::{Error as Bundle, OpenError};
use forger::catalog::Error as Catalog;
use forger::store::Error as Store;
use forger_block::Error as Block;
use forger_disk::OpenError as Disk;
use forger_fs::ext4::Error as Ext4;
use forger_fs::source::Error as Source;
use forger_fs::tar::Error as Tar;
use forger_fs::tree;
use forger_fs::tree::CollectError;
use forger_fs::verity::Error as Verity;
use forger_oci::Error as Oci;
use forger_oci::http::Error as Http;
use forger_oci::registry::Error as Registry;

use crate::args::size::human;
use crate::exit::Failure;
use crate::input::InSource;

/// Explains why an image could not be made.
pub(crate) fn ext4(what: String, error: Ext4) -> Failure {
    match error {
        Ext4::Option { option, reason } => Failure::usage(format!("--{option}: {reason}")),
        Ext4::Block(error) => block(what, error),
        error => {
            let help = ext4_help(&error);
            Failure::failed(what).because(error).help_if(help)
        }
    }
}

/// Explains why a source could not be read.
pub(crate) fn collect(what: String, error: CollectError) -> Failure {
    let help = match &error {
        CollectError::Source(error) => source_help(error),
        _ => None,
    };
    Failure::failed(what).because(error).help_if(help)
}

/// Explains why a bundle could not be made.
pub(crate) fn bundle(what: String, error: Bundle) -> Failure {
    match error {
        Bundle::Image(error) => ext4(what, error),
        Bundle::Block(error) => block(what, error),
        Bundle::Field {
            field,
            value,
            reason,
        } => {
            let option = field.replace('_', "-");
            Failure::usage(format!("--{option}: {value:?} {reason}"))
        }
        error => Failure::failed(what).because(error),
    }
}

/// Explains why a bundle was refused, or could not be unpacked.
pub(crate) fn open(what: String, error: OpenError) -> Failure {
    let help = match error {
        OpenError::Block(error) => return block(what, error),
        OpenError::Sha256 { .. } => {
            "this is another bundle than the one asked for, or it is damaged"
        }
        OpenError::Blake3 { .. } => "the bundle is damaged: fetch or make it again",
        OpenError::Truncated { .. } | OpenError::TruncatedFrame { .. } => {
            "the bundle was cut short: fetch it again"
        }
        error => return Failure::failed(what).because(error),
    };
    Failure::failed(what).because(error).help(help)
}

/// Explains why an output could not be written, or an input not be read.
pub(crate) fn block(what: String, error: Block) -> Failure {
    match error {
        Block::Io { source, object, .. }
            if object == "standard output" && source.kind() == std::io::ErrorKind::BrokenPipe =>
        {
            Failure::broken_pipe()
        }
        error => {
            let help = block_help(&error);
            Failure::failed(what).because(error).help_if(help)
        }
    }
}

/// Explains why an image file cannot be opened.
pub(crate) fn disk(what: String, error: Disk) -> Failure {
    match error {
        Disk::Block(error) => block(what, error),
        Disk::Foreign(_) => Failure::failed(what).because(error).help(
            "convert it with a program that reads it; if it is a raw disk after all, --input-format raw says so",
        ),
        error => Failure::failed(what).because(error),
    }
}

/// Explains why a hash tree could not be made, or does not fit.
pub(crate) fn verity(what: String, error: Verity) -> Failure {
    let help = match error {
        Verity::Block(error) => return block(what, error),
        Verity::Length { .. } => "truncate -s %4096 IMAGE fills it up to a whole block",
        Verity::NoSuperblock { .. } => {
            "--hash-offset and --hash-file say where the tree stands; without --check one is made"
        }
        Verity::Data { .. } | Verity::Tree { .. } => {
            "the image was changed or is damaged: fetch or make it again"
        }
        Verity::Root { .. } => "this is the tree of another image than the one asked for",
        error => return Failure::failed(what).because(error),
    };
    Failure::failed(what).because(error).help(help)
}

/// Explains why an image could not be read, written or copied.
pub(crate) fn oci(what: String, error: Oci) -> Failure {
    match error {
        Oci::Block(error) => block(what, error),
        error => {
            let help = oci_help(&error);
            Failure::failed(what).because(error).help_if(help)
        }
    }
}

/// Explains why the local store could not be used.
pub(crate) fn store(error: Store) -> Failure {
    let what = "cannot use the local store".to_owned();
    match error {
        Store::Block(error) => block(what, error),
        Store::Busy { .. } => Failure::failed(what)
            .because(error)
            .help("wait until the other forger is done"),
        error => Failure::failed(what).because(error),
    }
}

/// Explains why a catalog has not what is looked for.
pub(crate) fn catalog(what: String, error: Catalog) -> Failure {
    let help = match &error {
        Catalog::Missing { known, .. } if known.is_empty() => Some("it has no bundles".to_owned()),
        Catalog::Missing { known, .. } => Some(format!("it has {}", known.join(", "))),
        Catalog::Several { archs, .. } => {
            Some(format!("choose one with --arch: {}", archs.join(", ")))
        }
        _ => None,
    };
    Failure::failed(what).because(error).help_if(help)
}

fn oci_help(error: &Oci) -> Option<String> {
    match error {
        Oci::Other(inner) => registry_help(inner.downcast_ref()?),
        Oci::Foreign { .. } => Some("--fetch-foreign fetches it from there".to_owned()),
        Oci::Ambiguous { names, .. } => Some(format!("name one of them: {}", names.join(", "))),
        Oci::NoPlatform { platforms, .. } => Some(format!(
            "choose one with --platform: {}",
            platforms.join(", ")
        )),
        Oci::Mismatch { .. } | Oci::Length { .. } | Oci::DiffId { .. } => {
            Some("the image is damaged or was changed: fetch or make it again".to_owned())
        }
        Oci::Read { source, .. } => {
            let inner = source.get_ref()?;
            inner.downcast_ref::<Oci>().and_then(oci_help)
        }
        _ => None,
    }
}

fn registry_help(error: &Registry) -> Option<String> {
    Some(match error {
        Registry::Unauthorized {
            known: false, host, ..
        } => {
            format!(
                "forger login {host}, or --auth-file FILE, says who you are; or there is no such repository"
            )
        }
        Registry::Unauthorized { .. } => {
            "the credentials are wrong, or do not allow this; or there is no such repository"
                .to_owned()
        }
        Registry::RateLimited { host, .. } => {
            format!("wait, or forger login {host}: who is known may ask more often")
        }
        Registry::Http(Http::PlainHttp { .. }) => "--plain-http allows it".to_owned(),
        Registry::Http(Http::NoRoots { .. }) => {
            "install the system's certificates (ca-certificates), or name a file with --ca-file"
                .to_owned()
        }
        Registry::Http(Http::Connect { source, .. }) => {
            let text = source.to_string();
            match () {
                () if text.contains("certificate") => {
                    "--ca-file FILE trusts a private authority".to_owned()
                }
                () if text.contains("corrupt") || text.contains("InvalidContentType") => {
                    "it may speak plain HTTP: --plain-http".to_owned()
                }
                () => return None,
            }
        }
        Registry::Stalled { .. } => "--chunk-size 1M sends smaller chunks".to_owned(),
        _ => return None,
    })
}

fn ext4_help(error: &Ext4) -> Option<String> {
    match error {
        Ext4::Source(error) => source_help(error),
        Ext4::Entry {
            source: tree::Error::Folder,
            entry,
            ..
        } => Some(format!(
            "--inject SRC:/{}/ puts it into that folder",
            entry.trim_matches('/')
        )),
        Ext4::Unrepresentable { ignore, .. } => ignore.map(ignore_help),
        Ext4::TooSmall { needed, .. } => {
            let mebibytes = needed.div_ceil(1 << 20);
            Some(format!(
                "--size {mebibytes}M is enough for it; --size auto adds free space as well"
            ))
        }
        Ext4::TooLarge { needed, .. } => {
            let gibibytes = needed.div_ceil(1 << 30);
            Some(format!(
                "--max-size {gibibytes}G makes the reserve large enough"
            ))
        }
        Ext4::Memory { limit, .. } => Some(format!(
            "--memory-limit raises the limit of {}",
            human(*limit)
        )),
        Ext4::Block(error) => block_help(error),
        _ => None,
    }
}

fn ignore_help(kind: &str) -> String {
    format!("--ignore {kind} leaves such things out, with a note for each")
}

fn source_help(error: &Source) -> Option<String> {
    match error {
        Source::Tar(error) => tar_help(error),
        Source::Other(error) => match error.downcast_ref::<InSource>() {
            Some(inside) => source_help(&inside.source),
            None => chained_help(&**error),
        },
        _ => None,
    }
}

/// Helps with the first cause that there is help for.
fn chained_help(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| {
        let oci = error.downcast_ref::<Oci>().and_then(oci_help);
        oci.or_else(|| error.downcast_ref::<Source>().and_then(source_help))
    })
}

fn tar_help(error: &Tar) -> Option<String> {
    let help = match error {
        Tar::Unrepresentable { ignore, .. } => return ignore.map(ignore_help),
        Tar::Empty => "nothing arrived: did the program that writes the archive fail?",
        Tar::MissingEnd { .. } => {
            "if the archive is complete all the same, --allow-missing-eof takes it as it is"
        }
        Tar::DataAfterEnd { .. } => {
            "if several archives follow each other here, --concatenated reads them all"
        }
        Tar::Truncated { .. } => "the archive was cut short: fetch or make it again",
        _ => return None,
    };
    Some(help.to_owned())
}

fn block_help(error: &Block) -> Option<String> {
    let help = match error {
        Block::Exists { .. } => "--force replaces it",
        Block::Device { .. } => "--force overwrites the device; what is on it is lost",
        Block::NotAnOutput {
            kind: "a terminal", ..
        } => "redirect it into a file or pipe, or name a file",
        Block::NotAnOutput {
            kind: "a directory",
            ..
        } => "name a file in it",
        Block::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            "make room, or write somewhere else; nothing is left of this attempt"
        }
        _ => return None,
    };
    Some(help.to_owned())
}
