//! How a command ends: what failed, why, what helps, and the exit status.

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use forger_fs::ext4::ReadError;

use crate::args::Format;
use crate::config;

/// Why a command could not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
    help: Option<String>,
    status: Status,
    /// An image needs a file that it may not read.
    leave: bool,
}

/// How a command that did not succeed ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// Something failed.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// Space of what was checked is lost: the status of qemu-img check.
    Leaks,
    /// What was checked is damaged: the status of e2fsck for errors that it left.
    Damaged,
    /// What was compared differs; that was shown.
    Different,
    /// What should be compared cannot be read: the status of diff.
    Trouble,
    /// A guest's job ended with this status, which is no failure of ours.
    Job(u8),
    /// A guest's job could not be run, or nobody knows how it ended: the status of docker.
    Guest,
    /// A guest's job could not be started.
    NotStarted(u8),
    /// A guest's job took too long: the status of timeout.
    Late,
    /// Whoever read standard output went away: nobody is left to be told.
    BrokenPipe,
    /// A signal asked to stop.
    Signal(u8),
}

impl Status {
    fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Different => 1,
            Self::Usage | Self::Trouble => 2,
            Self::Leaks => 3,
            Self::Damaged => 4,
            Self::Job(code) | Self::NotStarted(code) => code,
            Self::Guest => 125,
            Self::Late => 124,
            Self::BrokenPipe => 128 + 13,
            Self::Signal(number) => number.saturating_add(128),
        }
    }
}

impl Failure {
    fn new(status: Status, what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            cause: None,
            help: None,
            status,
            leave: false,
        }
    }

    /// Says that something failed.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::new(Status::Failed, what)
    }

    /// Says that an image needs a file that it may not read.
    pub(crate) fn without_leave(what: impl Into<String>) -> Self {
        Self {
            leave: true,
            ..Self::failed(what)
        }
    }

    /// Tells whether it is only leave that lacks.
    pub(crate) fn lacks_leave(&self) -> bool {
        self.leave
    }

    /// Says that the command line makes no sense.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Status::Usage, what)
    }

    /// Says that space of what was checked is lost.
    pub(crate) fn leaks(what: impl Into<String>) -> Self {
        Self::new(Status::Leaks, what)
    }

    /// Says that what was checked is damaged.
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::new(Status::Damaged, what)
    }

    /// Takes a failure for the finding of a check where damage is what it failed on.
    pub(crate) fn or_damaged(mut self) -> Self {
        let cause = self.cause.as_deref();
        if let Some(ReadError::Corrupt { .. }) = cause.and_then(|cause| cause.downcast_ref()) {
            self.status = Status::Damaged;
        }
        self
    }

    /// Says that what was compared differs; standard output said how.
    pub(crate) fn different() -> Self {
        Self::new(Status::Different, "they differ")
    }

    /// Takes a failure for one of a comparison, where 1 means that something differs.
    pub(crate) fn trouble(mut self) -> Self {
        if self.status == Status::Failed {
            self.status = Status::Trouble;
        }
        self
    }

    /// Ends with the status of a guest's job.
    pub(crate) fn job(code: u8) -> Self {
        Self::new(Status::Job(code), "the job failed")
    }

    /// Says that a guest's job took too long.
    pub(crate) fn late(what: impl Into<String>) -> Self {
        Self::new(Status::Late, what)
    }

    /// Says that a guest's job could not be started, perhaps since there is no such program: the
    /// statuses of a shell.
    pub(crate) fn not_started(missing: bool, what: impl Into<String>) -> Self {
        let status = Status::NotStarted(if missing { 127 } else { 126 });
        Self::new(status, what)
    }

    /// Takes a failure for one around a guest's job, so that it is not taken for the job's own.
    pub(crate) fn around_job(mut self) -> Self {
        if self.status == Status::Failed {
            self.status = Status::Guest;
        }
        self
    }

    /// Says that nobody reads standard output any more.
    pub(crate) fn broken_pipe() -> Self {
        Self::new(Status::BrokenPipe, "nobody reads standard output any more")
    }

    /// Says that a signal stopped the command.
    pub(crate) fn signal(number: u8) -> Self {
        let name = match number {
            1 => "SIGHUP",
            2 => "SIGINT",
            15 => "SIGTERM",
            _ => "a signal",
        };
        Self::new(Status::Signal(number), format!("stopped by {name}"))
    }

    /// Adds why it failed.
    pub(crate) fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds what the user can do about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what the user can do about it, where that is known.
    pub(crate) fn help_if(mut self, help: Option<String>) -> Self {
        self.help = self.help.or(help);
        self
    }

    /// Returns what failed and why in one line, where it is a part of a longer report.
    pub(crate) fn line(&self) -> String {
        let mut parts = vec![self.what.clone()];
        parts.extend(self.causes());
        parts.join(": ")
    }

    /// Returns what the user can do about it, where that is known.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Returns why it failed on one line.
    pub(crate) fn reason(&self) -> String {
        match self.causes() {
            causes if causes.is_empty() => self.what.clone(),
            causes => causes.join(": "),
        }
    }

    /// Returns why it failed, and what helps, on one line.
    pub(crate) fn in_short(&self) -> String {
        let mut words = self.reason();
        if let Some(help) = &self.help {
            words.push_str(&format!(" ({help})"));
        }
        words
    }

    /// Returns the messages of the causes, outermost first, without repetitions.
    fn causes(&self) -> Vec<String> {
        let mut causes: Vec<String> = Vec::new();
        let mut next = self.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if causes.last() != Some(&text) {
                causes.push(text);
            }
            next = cause.source();
        }
        causes
    }

    /// Tells the user on standard error and returns the exit status.
    pub(crate) fn report(&self, format: Format) -> ExitCode {
        let text = match (self.status, format) {
            (Status::BrokenPipe | Status::Different | Status::Job(_), _) => String::new(),
            (_, Format::Json) => self.json(),
            (_, Format::Text) if config::colours() => self.fancy(),
            (_, Format::Text) => self.plain(),
        };
        // A standard error that takes nothing leaves no way to say so.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
        ExitCode::from(self.status.code())
    }

    fn json(&self) -> String {
        let object = serde_json::json!({
            "type": "error",
            "message": self.what,
            "causes": self.causes(),
            "help": self.help,
            "exit_status": self.status.code(),
        });
        format!("{object}\n")
    }

    fn plain(&self) -> String {
        let mut text = format!("forger: error: {}\n", self.what);
        for cause in self.causes() {
            text.push_str(&format!("  because: {cause}\n"));
        }
        if let Some(help) = &self.help {
            text.push_str(&format!("  help: {help}\n"));
        }
        text
    }

    fn fancy(&self) -> String {
        let mut text = String::new();
        let handler = miette::GraphicalReportHandler::new().with_links(false);
        match handler.render_report(&mut text, self) {
            Ok(()) => text,
            Err(fmt::Error) => self.plain(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause
            .as_deref()
            .map(|cause| cause as &(dyn Error + 'static))
    }
}

impl miette::Diagnostic for Failure {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
}

/// Ends a command line that clap did not understand, or that asked for help or the version.
pub(crate) fn usage(error: &clap::Error, json: bool) -> ExitCode {
    if error.use_stderr() && json {
        let rendered = error.render().to_string();
        let message = rendered.trim().trim_start_matches("error: ");
        return Failure::usage(message).report(Format::Json);
    }
    match error.print() {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Failure::broken_pipe().report(Format::Text)
        }
        _ if error.use_stderr() => ExitCode::from(Status::Usage.code()),
        _ => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn failure() -> Failure {
        let inner = forger_block::Error::io("write", "out.ext4", io::Error::other("disk full"));
        Failure::failed("cannot make out.ext4")
            .because(inner)
            .help("make room")
    }

    #[test]
    fn plain_has_what_why_and_remedy() {
        assert_eq!(
            failure().plain(),
            "forger: error: cannot make out.ext4\n  because: cannot write out.ext4\n  \
             because: disk full\n  help: make room\n"
        );
    }

    #[test]
    fn json_is_one_line_with_the_same_facts() {
        let json = failure().json();
        assert_eq!(json.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["type"], "error");
        assert_eq!(value["causes"][1], "disk full");
        assert_eq!(value["help"], "make room");
        assert_eq!(value["exit_status"], 1);
    }

    #[test]
    fn fancy_has_the_same_facts() {
        let text = failure().fancy();
        for part in ["cannot make out.ext4", "disk full", "make room"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn repeated_causes_are_said_once() {
        let inner = io::Error::other(io::Error::other("disk full"));
        assert_eq!(Failure::failed("x").because(inner).causes(), ["disk full"]);
    }

    #[test]
    fn statuses_are_the_documented_ones() {
        assert_eq!(Status::Failed.code(), 1);
        assert_eq!(Status::Usage.code(), 2);
        assert_eq!(Status::Leaks.code(), 3);
        assert_eq!(Status::Damaged.code(), 4);
        assert_eq!(Status::BrokenPipe.code(), 141);
        assert_eq!(
            [1, 2, 15].map(|number| Status::Signal(number).code()),
            [129, 130, 143]
        );
    }
}
