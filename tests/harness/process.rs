//! Children with a time limit: what they printed, how they ended, how long they took.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long a child may take if its caller says nothing, in seconds.
const DEFAULT_LIMIT: u64 = 120;

/// What a child reads.
#[derive(Debug, Default)]
enum Input {
    #[default]
    Nothing,
    Bytes(Vec<u8>),
    File(PathBuf),
    Opened(PathBuf),
}

/// A child about to run.
#[derive(Debug)]
pub struct Run {
    command: Command,
    /// Whether the child gets no variable but those that are set.
    cleared: bool,
    line: String,
    limit: Duration,
    input: Input,
    foreground: bool,
    discard: bool,
}

/// What a child did.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output; empty in the foreground.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error; empty in the foreground.
    pub stderr: Vec<u8>,
    /// From just before its start to its end.
    pub elapsed: Duration,
    line: String,
}

impl Run {
    /// Prepares to run `program`, looked up in `PATH` and the folders of system programs.
    ///
    /// Messages of system tools come untranslated; standard input is empty.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let found = crate::tools::find(program).unwrap_or_else(|| program.into());
        let mut command = Command::new(found);
        command.env("LC_ALL", "C").env("TZ", "UTC");
        Self {
            command,
            cleared: false,
            line: program.to_string_lossy().into_owned(),
            limit: Duration::from_secs(DEFAULT_LIMIT),
            input: Input::Nothing,
            foreground: false,
            discard: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.line.push(' ');
        self.line.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: AsRef<OsStr>>(self, args: impl IntoIterator<Item = I>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Removes every environment variable.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.command.env_clear();
        self.cleared = true;
        self
    }

    /// Sets the working folder.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Sets what the child reads through a pipe.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Input::Bytes(bytes.into());
        self
    }

    /// Sets a file the child reads through a pipe, as `cat FILE |` would pass it.
    #[must_use]
    pub fn stdin_piped(mut self, file: impl AsRef<Path>) -> Self {
        self.input = Input::File(file.as_ref().to_path_buf());
        self
    }

    /// Sets a file the child has as its standard input, as `< FILE` would open it.
    #[must_use]
    pub fn stdin_file(mut self, file: impl AsRef<Path>) -> Self {
        self.input = Input::Opened(file.as_ref().to_path_buf());
        self
    }

    /// Runs the command under another program, which is given `args` and then the command.
    #[must_use]
    pub fn under(mut self, program: &str, args: &[&str]) -> Self {
        let found = crate::tools::find(program).unwrap_or_else(|| program.into());
        let mut outer = Command::new(found);
        outer
            .args(args)
            .arg(self.command.get_program())
            .args(self.command.get_args());
        if self.cleared {
            outer.env_clear();
        }
        for (key, value) in self.command.get_envs() {
            match value {
                Some(value) => outer.env(key, value),
                None => outer.env_remove(key),
            };
        }
        if let Some(dir) = self.command.get_current_dir() {
            outer.current_dir(dir);
        }
        self.command = outer;
        self.line = format!("{program} {} {}", args.join(" "), self.line);
        self
    }

    /// Lets what the child writes to standard output go nowhere.
    #[must_use]
    pub fn stdout_to_nowhere(mut self) -> Self {
        self.discard = true;
        self
    }

    /// Sets the time limit in seconds.
    #[must_use]
    pub fn limit(mut self, seconds: u64) -> Self {
        self.limit = Duration::from_secs(seconds);
        self
    }

    /// Lets the child write to the terminal, and Ctrl-C reach it.
    #[must_use]
    pub fn foreground(mut self) -> Self {
        self.foreground = true;
        self
    }

    /// Runs the child to its end, whatever that is.
    ///
    /// # Panics
    /// When the child cannot be started or does not end in time; it is killed then.
    #[must_use]
    pub fn output(self) -> Output {
        self.try_output().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs the child to its end, which must be success.
    ///
    /// # Panics
    /// As [`output`](Self::output), and when the child fails.
    pub fn ok(self) -> Output {
        let output = self.output();
        assert!(output.status.success(), "{output}");
        output
    }

    /// Runs the child to its end, whatever that is.
    ///
    /// # Errors
    /// When the child cannot be started or does not end in time; it is killed then.
    pub fn try_output(self) -> Result<Output, String> {
        let line = self.line.clone();
        self.start().map_err(|e| format!("{line}: {e}"))?.finish()
    }

    /// Starts the child.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut self) -> std::io::Result<Running> {
        if self.foreground {
            self.command
                .stdout(Stdio::inherit())
                .stderr(Stdio::inherit());
        } else {
            // A group of its own, so that whatever it starts ends with it.
            self.command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .process_group(0);
        }
        if self.discard {
            self.command.stdout(Stdio::null());
        }
        self.command.stdin(match &self.input {
            Input::Nothing => Stdio::null(),
            Input::Opened(path) => File::open(path)?.into(),
            Input::Bytes(_) | Input::File(_) => Stdio::piped(),
        });
        let started = Instant::now();
        let mut child = self.command.spawn()?;
        let stdin = child.stdin.take();
        let writer = std::thread::spawn(move || {
            let Some(mut stdin) = stdin else { return };
            // A child that stops reading is the caller's to judge by its exit status.
            let _ = match self.input {
                Input::Nothing | Input::Opened(_) => Ok(0),
                Input::Bytes(bytes) => stdin.write_all(&bytes).map(|()| 0),
                Input::File(path) => {
                    File::open(path).and_then(|mut file| std::io::copy(&mut file, &mut stdin))
                }
            };
        });
        Ok(Running {
            stdout: child.stdout.take().map(collect),
            stderr: child.stderr.take().map(collect),
            child,
            started,
            line: self.line,
            limit: self.limit,
            group: !self.foreground,
            writer: Some(writer),
        })
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// A child that runs; it is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    started: Instant,
    line: String,
    limit: Duration,
    group: bool,
    writer: Option<JoinHandle<()>>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Running {
    /// Returns the child's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells whether the child still runs.
    ///
    /// # Panics
    /// When the system cannot say.
    pub fn runs(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("the child can be asked")
            .is_none()
    }

    /// Sends a signal to the child alone.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Waits for the child's end.
    ///
    /// # Errors
    /// When it does not end in time; it is killed then.
    pub fn finish(mut self) -> Result<Output, String> {
        let mut pause = Duration::from_micros(500);
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if self.started.elapsed() > self.limit => {
                    let limit = self.limit.as_secs();
                    return Err(format!("{}: did not end within {limit} s", self.line));
                }
                Ok(None) => std::thread::sleep(pause),
                Err(error) => return Err(format!("{}: {error}", self.line)),
            }
            pause = (pause * 2).min(Duration::from_millis(2));
        };
        let elapsed = self.started.elapsed();
        let take = |of: &mut Option<JoinHandle<Vec<u8>>>| {
            of.take()
                .and_then(|thread| thread.join().ok())
                .unwrap_or_default()
        };
        let (stdout, stderr) = (take(&mut self.stdout), take(&mut self.stderr));
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        Ok(Output {
            status,
            stdout,
            stderr,
            elapsed,
            line: std::mem::take(&mut self.line),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.child);
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = if self.group {
                kill_process_group(pid, Signal::KILL)
            } else {
                kill_process(pid, Signal::KILL)
            };
            let _ = self.child.wait();
        }
    }
}

impl Output {
    /// Returns standard output as text, undecodable bytes replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Returns standard error as text, undecodable bytes replaced.
    #[must_use]
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, line, .. } = self;
        let (out, errors) = (tail(&self.stdout), tail(&self.stderr));
        write!(
            f,
            "{line}\n{status}\n--- stdout\n{out}\n--- stderr\n{errors}"
        )
    }
}

/// Returns the last few kilobytes as text.
fn tail(bytes: &[u8]) -> String {
    let from = bytes.len().saturating_sub(4000);
    String::from_utf8_lossy(&bytes[from..]).into_owned()
}
