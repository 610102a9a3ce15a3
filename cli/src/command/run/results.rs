//! What is made of the changed root.

use std::sync::Arc;

use forger_block::BlockRead;
use forger_fs::ext4::{self, Image, Layer};
use forger_fs::tree::compare::{Body, Comparison};
use forger_fs::tree::{Content, Tree, TreeSource};
use forger_vm::Guest;

use super::Args;
use crate::args::{Format, Global};
use crate::command::diff::shown;
use crate::command::extract::tar;
use crate::exit::Failure;
use crate::guest::failure;
use crate::guest::root::Planned;
use crate::output::Output;
use crate::print::{self, Stream};
use crate::progress::Console;
use crate::remedy;

/// What was asked for.
pub(super) struct Results {
    tar: Option<Output>,
    commit: Option<Output>,
    diff: Option<std::ffi::OsString>,
    format: Format,
}

impl Results {
    /// Looks at the outputs before any work is done.
    pub(super) fn check(args: &Args, global: Global) -> Result<Self, Failure> {
        Ok(Self {
            tar: args.output(args.to_tar.as_ref())?,
            commit: args.output(args.commit.as_ref())?,
            diff: args.diff.clone(),
            format: global.output,
        })
    }

    /// Tells whether anything was asked for.
    pub(super) fn are_wanted(&self) -> bool {
        self.tar.is_some() || self.commit.is_some() || self.diff.is_some()
    }

    /// Makes what was asked for of the guest's root.
    pub(super) fn make(
        &self,
        guest: &Guest,
        root: &Planned,
        console: &mut Console,
    ) -> Result<(), Failure> {
        if !self.are_wanted() {
            return Ok(());
        }
        root.check_unchanged()?;
        let disk = guest
            .disk(0)
            .map_err(|error| failure("cannot read what the guest left", error))?;
        let after = tree(&disk, "what the guest left")?;
        if let Some(path) = &self.diff {
            let before = tree(&root.base, "what the guest began with")?;
            let text = self.differences(before, tree(&disk, "what the guest left")?)?;
            match path.as_os_str() == "-" {
                true => print::result(Stream::Stdout, &text)?,
                false => std::fs::write(path, text).map_err(|error| {
                    Failure::failed(format!("cannot write {}", path.display())).because(error)
                })?,
            }
        }
        if let Some(output) = &self.commit {
            commit(&after, output, console)?;
        }
        if let Some(output) = &self.tar {
            tar::whole(after, output, console)?;
        }
        Ok(())
    }

    fn differences(&self, before: Tree<Content>, after: Tree<Content>) -> Result<String, Failure> {
        let before = before.map_contents(Body::Content);
        let after = after.map_contents(Body::Content);
        let mut text = String::new();
        for difference in before.compare(&after, Comparison::default()) {
            let difference = difference.map_err(|error| {
                remedy::block("cannot compare the root with what it was".to_owned(), error)
            })?;
            text.push_str(&match self.format {
                Format::Text => shown::line(&difference),
                Format::Json => print::json_line(&shown::json(&difference)),
            });
        }
        Ok(text)
    }
}

/// Reads a filesystem, by our own reader: no kernel of this machine ever sees what a guest wrote.
fn tree(disk: &Arc<dyn BlockRead>, what: &str) -> Result<Tree<Content>, Failure> {
    Image::open(Arc::clone(disk))
        .and_then(|image| image.tree())
        .map_err(|error| Failure::failed(format!("cannot read {what}")).because(error))
}

/// Makes a new image of a tree.
fn commit(tree: &Tree<Content>, output: &Output, console: &mut Console) -> Result<(), Failure> {
    let what = || format!("cannot make {}", output.product());
    let mut source = TreeSource::new(tree);
    let mut layers = [Layer {
        source: &mut source,
        overlay: false,
    }];
    let planned = ext4::plan(&mut layers, &ext4::Options::default(), console);
    let (image, summary) = planned.map_err(|error| remedy::ext4(what(), error))?;
    let signals = console.signals().clone();
    let mut cancelled = || signals.caught().is_some();
    console.finishing();
    let written = if output.is_forward() {
        let mut sink = output.open_forward(&signals)?;
        image
            .stream(&mut *sink, &mut cancelled)
            .and_then(|()| sink.finish())
    } else {
        let mut sink = output.open_placed(&signals)?;
        image
            .place_into(&mut *sink, &mut cancelled)
            .and_then(|()| sink.finish(summary.size))
    };
    written.map_err(|error| remedy::block(what(), error))
}
