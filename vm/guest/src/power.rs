//! The end of everything.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::system::{RebootCommand, reboot};

/// How long processes may take to end when they are asked to.
const PATIENCE: Duration = Duration::from_millis(500);

/// Ends every other process: asks first, then kills.
pub(crate) fn end_processes() {
    let deadline = Instant::now() + PATIENCE;
    let mut others = processes();
    others.iter().for_each(|pid| signal(*pid, Signal::TERM));
    while !others.is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
        others = processes();
    }
    // What is started while others are killed is killed in the next round.
    for _ in 0..100 {
        if others.is_empty() {
            return;
        }
        others.iter().for_each(|pid| signal(*pid, Signal::KILL));
        std::thread::sleep(Duration::from_millis(5));
        others = processes();
    }
}

/// Powers the machine off.
pub(crate) fn off() -> ! {
    rustix::fs::sync();
    loop {
        // It does not return, and if it does there is nothing else to be done.
        let _ = reboot(RebootCommand::PowerOff);
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn signal(pid: Pid, signal: Signal) {
    // It may have ended meanwhile.
    let _ = kill_process(pid, signal);
}

/// Returns every other process that is not the kernel's and not a zombie.
fn processes() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid > 1 && has_memory(*pid))
        .filter_map(Pid::from_raw)
        .collect()
}

/// Tells whether a process has memory of its own, as neither zombies nor threads of the kernel do.
fn has_memory(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/statm")).is_ok_and(|statm| !statm.starts_with("0 "))
}
