//! A guest, from its start to its end.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use forger_block::BlockRead;
use forger_wire::{Filesystem, Hello, Job, Message, Mount, Setup, VERSION};

use crate::backend::{Access, Backend, Disk, Instance, Isolation, Machine};
use crate::cause::Cause;
use crate::channel::{Channel, Notice, locked};
use crate::error::{Error, Violation};
use crate::initramfs::initramfs;
use crate::job::Process;
use crate::options::Options;
use crate::proxy;

/// How often the guest is asked for a sign of life.
const PULSE: Duration = Duration::from_secs(5);

/// How long it may take to end orderly.
const END_LIMIT: Duration = Duration::from_secs(60);

/// How many times longer everything may take where the guest is emulated.
const EMULATION: u32 = 5;

/// The port of the proxy on the guest's loopback.
const PROXY_PORT: u16 = 3128;

/// A machine that runs commands.
///
/// It is killed when this is dropped; [`shut_down`](Self::shut_down) ends it orderly.
#[derive(Debug)]
pub struct Guest {
    channel: Channel,
    notices: Mutex<Receiver<Notice>>,
    instance: Arc<dyn Instance>,
    name: &'static str,
    isolation: Isolation,
    kernel: String,
    timings: Timings,
    proxy: Option<proxy::Served>,
    disks: usize,
    access: Access,
    end_limit: Duration,
    silence_limit: Duration,
}

/// How long the parts of a start took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// From nothing to a started machine: its files were made.
    pub start: Duration,
    /// From nothing to the guest's first instruction, where the backend knows it.
    pub entry: Option<Duration>,
    /// From the machine's start to the first word of the guest.
    pub kernel: Duration,
    /// From there until jobs can run.
    pub setup: Duration,
}

impl Guest {
    /// Starts a guest and waits until jobs can run.
    ///
    /// # Errors
    /// Wrong options; a backend that does not work here; a guest that does not come up in time.
    pub fn boot(backend: &dyn Backend, mut options: Options) -> Result<Self, Error> {
        options.validate()?;
        let slower = if backend.is_emulation() { EMULATION } else { 1 };
        options.boot_limit = options.boot_limit.saturating_mul(slower);
        options.silence_limit = options.silence_limit.saturating_mul(slower);
        let begin = Instant::now();
        let modules = backend.modules()?;
        let initramfs = initramfs(&options.init, &modules).map_err(|error| {
            Error::host("make the initial RAM disk", std::io::Error::other(error))
        })?;
        let mut disks: Vec<Disk> = options.root.iter().cloned().collect();
        disks.extend(
            options
                .mounts
                .iter()
                .filter_map(|mounted| mounted.disk.clone()),
        );
        let count = disks.len();
        let started = backend.start(Machine {
            initramfs,
            memory: options.memory,
            cpus: options.cpus,
            disks,
            scratch: options.scratch.clone(),
        })?;
        let start = begin.elapsed();
        let instance: Arc<dyn Instance> = Arc::from(started.instance);
        let (channel, arrivals) = Channel::open(started.channel, started.ring, started.console)?;
        let proxy = proxy::serve(arrivals.connections, options.proxy.clone())?;
        let mut guest = Self {
            channel,
            notices: Mutex::new(arrivals.notices),
            instance,
            name: backend.name(),
            isolation: backend.isolation(),
            kernel: String::new(),
            timings: Timings::default(),
            proxy,
            disks: count,
            access: started.access,
            end_limit: END_LIMIT.saturating_mul(slower),
            silence_limit: options.silence_limit,
        };
        let deadline = begin + options.boot_limit;
        let ready = guest.greet(&options, deadline)?;
        let kernel = begin.elapsed() - start;
        guest.kernel = ready;
        guest.set_up(&options, &started.devices, deadline)?;
        let entered = guest.instance.entered();
        guest.timings = Timings {
            start,
            entry: entered.map(|moment| moment.saturating_duration_since(begin)),
            kernel,
            setup: begin.elapsed() - start - kernel,
        };
        guest.watch(options.silence_limit)?;
        Ok(guest)
    }

    /// Waits for the guest's first word and answers it; returns its kernel's release.
    fn greet(&self, options: &Options, deadline: Instant) -> Result<String, Error> {
        let before = "it said its first word";
        let notice = self.notice(deadline, options.boot_limit, before, "start")?;
        let Notice::Ready(ready) = notice else {
            return Err(self.misplaced());
        };
        if ready.version != VERSION {
            return Err(Error::Protocol {
                source: Violation::Version {
                    version: ready.version,
                    ours: VERSION,
                },
                console: Default::default(),
            });
        }
        self.channel.use_ring(ready.ring);
        self.channel.send(&Message::Hello(Hello {
            version: VERSION,
            clock_ns: options.clock_ns,
            seed: options.seed.clone(),
        }))?;
        let printable = |c: &char| !c.is_control();
        Ok(ready.kernel.chars().filter(printable).take(64).collect())
    }

    fn set_up(
        &self,
        options: &Options,
        devices: &[Vec<u8>],
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut devices = devices.iter().cloned();
        let mut mount = |disk: Option<&Disk>, target: &[u8]| Mount {
            filesystem: match disk {
                Some(_) => Filesystem::Ext4,
                None => Filesystem::Tmpfs,
            },
            device: disk.and_then(|_| devices.next()).unwrap_or_default(),
            target: target.to_vec(),
            read_only: disk.is_some_and(|disk| disk.read_only),
        };
        let mut mounts = Vec::new();
        if let Some(root) = &options.root {
            mounts.push(mount(Some(root), b"/"));
            for mounted in &options.mounts {
                mounts.push(mount(mounted.disk.as_ref(), &mounted.target));
            }
        }
        self.channel.send(&Message::Setup(Setup {
            hostname: options.hostname.clone(),
            mounts,
            proxy_port: options.proxy.as_ref().map_or(0, |_| PROXY_PORT),
            privileged: options.privileged,
        }))?;
        let before = "it was set up";
        match self.notice(
            deadline,
            options.boot_limit,
            before,
            "mount its filesystems",
        )? {
            Notice::SetUp => Ok(()),
            _ => Err(self.misplaced()),
        }
    }

    /// Waits for what the guest says of itself.
    fn notice(
        &self,
        deadline: Instant,
        limit: Duration,
        before: &'static str,
        what: &'static str,
    ) -> Result<Notice, Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        let received = locked(&self.notices).recv_timeout(left);
        received.map_err(|error| match error {
            RecvTimeoutError::Timeout => Error::Late {
                what,
                seconds: limit.as_secs(),
                console: self.channel.console().tail(),
            },
            RecvTimeoutError::Disconnected => self.channel.lost(before),
        })
    }

    fn misplaced(&self) -> Error {
        Error::Protocol {
            source: Violation::Misplaced { stream: 0 },
            console: self.channel.console().tail(),
        }
    }

    /// Asks the guest for signs of life in the background, and kills one that gives none.
    fn watch(&self, limit: Duration) -> Result<(), Error> {
        let channel = self.channel.clone();
        let instance: Weak<dyn Instance> = Arc::downgrade(&self.instance);
        thread::Builder::new()
            .name("guest pulse".to_owned())
            .spawn(move || {
                for token in 0.. {
                    if channel.wait_for_end(PULSE) {
                        return;
                    }
                    let Some(instance) = instance.upgrade() else {
                        return;
                    };
                    if channel.silence() > limit {
                        channel.console().ended(Cause::Silence(limit));
                        instance.kill();
                        channel.close();
                        return;
                    }
                    // A channel that ended is noticed above.
                    let _ = channel.send(&Message::Ping { token });
                }
            })
            .map_err(|error| Error::host("start a thread", error))?;
        Ok(())
    }

    /// Runs a job; several may run at once.
    ///
    /// # Errors
    /// A job without a program; a guest that is gone.
    pub fn run(&self, job: &Job) -> Result<Process, Error> {
        if job.argv.is_empty() {
            return Err(Error::Option {
                option: "command",
                reason: "it has no program".to_owned(),
            });
        }
        let inbox = self.channel.start(&Message::Run(Box::new(job.clone())))?;
        Ok(Process::new(inbox, self.channel.clone()))
    }

    /// Returns the variables by which programs find the proxy, if there is one.
    #[must_use]
    pub fn proxy_environment(&self) -> HashMap<&'static str, String> {
        let url = format!("http://127.0.0.1:{PROXY_PORT}");
        let names = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"];
        match &self.proxy {
            Some(_) => names.map(|name| (name, url.clone())).into(),
            None => HashMap::new(),
        }
    }

    /// Returns what went through the proxy so far.
    #[must_use]
    pub fn requests(&self) -> Vec<proxy::Request> {
        self.proxy
            .as_ref()
            .map(proxy::Served::requests)
            .unwrap_or_default()
    }

    /// Returns how many further requests went through it: only so many are written down.
    #[must_use]
    pub fn requests_left_out(&self) -> u64 {
        self.proxy.as_ref().map_or(0, proxy::Served::left_out)
    }

    /// Waits until all connections through the proxy have ended, as they do with the guest; at most so long.
    pub fn settle(&self, limit: Duration) {
        if let Some(proxy) = &self.proxy {
            proxy.settle(limit);
        }
    }

    /// Ends the guest orderly: its filesystems need no repair afterwards.
    ///
    /// # Errors
    /// A guest that is gone already, or does not end in time; it is killed then.
    pub fn shut_down(&self) -> Result<(), Error> {
        self.channel.send(&Message::Shutdown)?;
        let limit = self.end_limit;
        let deadline = Instant::now() + limit;
        let ended = match self.notice(deadline, limit, "it had flushed its disks", "end")? {
            Notice::Bye => Ok(()),
            _ => Err(self.misplaced()),
        };
        // Its disks are in order, whatever keeps it.
        if !self.instance.wait(Duration::from_secs(10)) {
            self.instance.kill();
            self.instance.wait(Duration::from_secs(10));
        }
        ended
    }

    /// Ends the guest at once.
    pub fn kill(&self) {
        self.instance.kill();
        self.channel.close();
    }

    /// Returns what a disk holds, the root first; complete after [`shut_down`](Self::shut_down).
    ///
    /// # Errors
    /// A disk that there is not; what of the host did not work.
    pub fn disk(&self, number: usize) -> Result<Arc<dyn BlockRead>, Error> {
        match number < self.disks {
            true => self.instance.disk(number),
            false => Err(Error::Option {
                option: "disks",
                reason: format!("there is no disk {number}"),
            }),
        }
    }

    /// Takes what the guest's first process wanted to be known since the last time.
    #[must_use]
    pub fn take_log(&self) -> Vec<String> {
        self.channel.take_log()
    }

    /// Returns the backend's name.
    #[must_use]
    pub fn backend(&self) -> &'static str {
        self.name
    }

    /// Returns how far the guest is kept from the host.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// Returns how it reaches its disks.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// Returns the release of the guest's kernel, as the guest says.
    #[must_use]
    pub fn kernel(&self) -> &str {
        &self.kernel
    }

    /// Returns how long the parts of its start took.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.timings
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(crate) fn silence_limit(&self) -> Duration {
        self.silence_limit
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
        self.instance.wait(Duration::from_secs(5));
    }
}
