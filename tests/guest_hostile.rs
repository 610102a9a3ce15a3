//! Guests that mean harm, and ends that nobody planned: what is made of a guest's disk, and what is left of it.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use forger_tests::process::{Output, Run};
use forger_tests::scratch::Scratch;

use crate::guest::{aloud, emulated, open, run, tar};

/// Runs a script in a guest, whose root is to become a tar, an image and a list of what changed; nothing of
/// them may come to be. Returns what forger said.
fn refused(script: &str) -> Option<Output> {
    let tar = tar()?;
    let scratch = Scratch::new();
    open(scratch.root());
    let outside = scratch.path("outside");
    let output = run(&["--diff"], &tar)
        .env("TMPDIR", scratch.root())
        .arg("--to-tar")
        .arg(scratch.path("after.tar"))
        .arg("--commit")
        .arg(scratch.path("after.ext4"))
        .args(["--", "sh", "-ec", script])
        .output();
    assert_eq!(output.status.code(), Some(125), "{output}");
    assert!(output.stdout.is_empty(), "{output}");
    assert!(!outside.exists());
    let left: Vec<_> = fs::read_dir(scratch.root()).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    Some(output)
}

/// Changes a name in `/srv/in` on the disk itself, behind the kernel's back, and has debugfs write the block
/// again, so that its checksum is right.
const RENAME: &str = "
    mkdir /srv/in; echo evil > /srv/in/QQQoutside; sync
    block=$(debugfs -R 'blocks /srv/in' /dev/vda 2>/dev/null | tr -d ' \\n')
    dd if=/dev/vda bs=4096 skip=$block count=1 status=none > /tmp/block
    LC_ALL=C sed 's|QQQoutside|../outside|' /tmp/block | dd of=/dev/vda bs=4096 seek=$block conv=notrunc status=none
    debugfs -w -n -R 'ln /etc/hostname /srv/in/also' /dev/vda
    ls -a /srv/in >&2";

#[test]
fn a_name_that_leads_out_of_the_returned_tree_is_refused_and_nothing_is_made_of_it() {
    let Some(output) = refused(RENAME) else {
        return;
    };
    // The guest's own kernel had believed it, or at least the program that looked.
    assert!(output.errors().contains("slash"), "{output}");
}

#[test]
#[ignore = "further boots, of which the quick tests have enough"]
fn folders_in_a_circle_and_folders_with_two_names_are_refused() {
    for script in [
        "debugfs -w -R 'ln <2> /srv/loop' /dev/vda",
        "mkdir /srv/a; sync; debugfs -w -R 'ln /srv/a /srv/b' /dev/vda",
        "mkdir /srv/a; sync; debugfs -w -R 'ln <2> /srv/a/..' /dev/vda",
    ] {
        let Some(output) = refused(script) else {
            return;
        };
        assert!(output.errors().contains("what the guest left"), "{output}");
    }
}

#[test]
#[ignore = "further boots, of which the quick tests have enough"]
fn links_and_holes_of_a_returned_tree_are_what_they_are_and_nothing_more() {
    let Some(tar) = tar() else { return };
    let scratch = Scratch::new();
    open(scratch.root());
    let archive = scratch.path("after.tar");
    // A link that leads out, something below a folder of its name, a file of a terabyte.
    let script = "ln -s ../../../../../../tmp /srv/out; mkdir /srv/real; mount --bind /srv/real /srv/out || true; \
                  truncate -s 1T /srv/hole; mknod /srv/disk b 8 0";
    let output = run(&["--to-tar", archive.to_str().unwrap()], &tar)
        .args(["--", "sh", "-c", script])
        .output();
    assert!(output.status.success(), "{output}");
    assert!(archive.metadata().unwrap().len() < 1 << 30);
    let listed = Run::new("tar").arg("-tvf").arg(&archive).ok().text();
    for part in ["srv/out -> ../../../../../../tmp", "1099511627776", "8,0"] {
        assert!(listed.contains(part), "{part}\n{listed}");
    }
}

#[test]
fn bytes_of_a_job_on_the_channel_itself_are_no_success() {
    let Some(tar) = tar() else { return };
    let script = "head -c 100000 /dev/urandom > /dev/ttyS0; sleep 30; exit 0";
    let output = run(&[], &tar).args(["--", "sh", "-c", script]).output();
    assert_eq!(output.status.code(), Some(125), "{output}");
    assert!(output.errors().contains("protocol"), "{output}");
}

#[test]
#[ignore = "further boots, of which the quick tests have enough"]
fn output_without_end_goes_as_far_as_its_reader_and_a_console_holds_nobody_up() {
    let Some(tar) = tar() else { return };
    let script = "yes > /dev/console & yes > /dev/kmsg & sleep 2; exit 3";
    let output = run(&[], &tar).args(["--", "sh", "-c", script]).output();
    assert_eq!(output.status.code(), Some(3), "{output}");
    let piped = "\"$@\" | head -c 1000000 | wc -c; echo ${PIPESTATUS[0]}";
    let output = run(&[], &tar)
        .args(["--", "yes"])
        .under("bash", &["-c", piped, "bash"])
        .output();
    assert_eq!(output.text(), "1000000\n141\n", "{output}");
}

#[test]
fn a_flood_of_connections_is_refused_and_said_and_neither_ends_the_job_nor_stops_others() {
    let Some(tar) = tar() else { return };
    let scratch = Scratch::new();
    open(scratch.root());
    let log = scratch.path("log");
    // 700 connections that say nothing, 164 of them at once; when they are closed, the proxy answers as before.
    let script = r#"
        use IO::Socket::INET; $SIG{ALRM} = sub { die "late\n" }; alarm 240;
        my ($port) = $ENV{http_proxy} =~ m{//(.*)};
        sub open_one { IO::Socket::INET->new($port) or die "cannot connect: $!\n" }
        sub told { my $said; sysread($_[0], $said, 4096); $said =~ m{^HTTP/1.1 (\d+)} ? $1 : "nothing" }
        my @open = map { open_one() } 1..164;
        my $refused = grep { told($_) == 503 } @open[64..163];
        for (165..700) { push @open, open_one(); $refused++ if told($open[-1]) == 503 }
        print "$refused\n"; close $_ for @open;
        for (1..50) { select(undef, undef, undef, 0.1); my $one = open_one();
            syswrite($one, "GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\n\r\n");
            $status = told($one); last if $status != 503 }
        print "$status\n"; exit 5"#;
    let output = aloud(&["--net", "proxy"], &tar)
        .arg("--net-log")
        .arg(&log)
        .args(["--", "perl", "-e", script])
        .limit(280)
        .output();
    assert_eq!(output.status.code(), Some(5), "{output}");
    assert_eq!(output.text(), "636\n403\n", "{output}");
    let said = output.errors();
    let refused = said.lines().find(|line| line.contains("were refused"));
    assert!(refused.is_some(), "{output}");
    let log = fs::read_to_string(log).unwrap();
    let full = log
        .lines()
        .filter(|line| line.contains("too many connections at once: 64 are open"));
    assert!(full.count() >= 636, "{log}");
}

#[test]
fn a_signal_ends_a_command_that_ignores_it_and_a_second_one_ends_it_at_once() {
    let Some(tar) = tar() else { return };
    let scratch = Scratch::new();
    for (signals, least, most) in [(1, 5, 30), (2, 0, 4)] {
        let said = scratch.path(&format!("{signals}"));
        let into = format!("exec \"$@\" > {}", said.display());
        let running = run(&[], &tar)
            .args(["--", "sh", "-c", "trap '' INT TERM; echo up; sleep 1000"])
            .under("sh", &["-c", &into, "sh"])
            .limit(100)
            .start()
            .unwrap();
        wait_for_guest(running.id());
        let deadline = Instant::now() + Duration::from_secs(60);
        while fs::read(&said).unwrap() != b"up\n" && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let guest = descendants(running.id());
        let start = Instant::now();
        for _ in 0..signals {
            running.signal(Signal::INT);
            std::thread::sleep(Duration::from_millis(300));
        }
        let output = running.finish().unwrap();
        let took = start.elapsed();
        let range = Duration::from_secs(least)..Duration::from_secs(most);
        assert!(range.contains(&took), "{took:?} {output}");
        match signals {
            1 => assert_eq!(output.status.code(), Some(130), "{output}"),
            _ => assert!(!output.status.success(), "{output}"),
        }
        assert_gone(&guest);
    }
}

#[test]
fn a_signal_while_a_guest_starts_ends_it_within_moments() {
    let Some(tar) = tar() else { return };
    let running = run(&[], &tar)
        .args(["--", "sleep", "1000"])
        .start()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while descendants(running.id()).is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    let guest = descendants(running.id());
    running.signal(Signal::TERM);
    let start = Instant::now();
    let output = running.finish().unwrap();
    assert_eq!(output.status.code(), Some(143), "{output}");
    assert!(start.elapsed() < Duration::from_secs(10), "{output}");
    assert_gone(&guest);
}

#[test]
fn a_killed_forger_leaves_no_process_and_no_file() {
    let Some(tar) = tar() else { return };
    killed(run(&[], &tar));
}

#[test]
fn a_killed_forger_leaves_nothing_of_an_emulated_machine_either() {
    let scratch = Scratch::new();
    let Some((tar, store)) = emulated(&scratch) else {
        return;
    };
    // Nothing weaker than a virtual machine is asked for, and emulation is the only one.
    let guest = match kvm_is_open() {
        true => ["--backend", "qemu-tcg"],
        false => ["--isolation", "vm"],
    };
    let output = killed(aloud(&guest, &tar).env("FORGER_STORE", store));
    let errors = output.errors();
    assert!(
        errors.contains("warning: the guest is emulated"),
        "{output}"
    );
    if guest[0] == "--isolation" {
        let over = errors.lines().find(|line| line.contains("passed over"));
        let over = over.unwrap_or_else(|| panic!("{output}"));
        for reason in [
            "kvm: ",
            "qemu: ",
            "uml: --isolation vm asks for a virtual machine",
        ] {
            assert!(over.contains(reason), "{reason}\n{output}");
        }
    }
}

/// Tells whether ordinary users, as those whom guests here are of, may use KVM.
fn kvm_is_open() -> bool {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata("/dev/kvm").map(|device| device.permissions().mode());
    mode.is_ok_and(|mode| mode & 0o6 == 0o6)
}

/// Kills forger while its guest runs, or starts: five seconds later nothing of it is left. Returns what it said.
fn killed(run: Run) -> Output {
    let scratch = Scratch::new();
    open(scratch.root());
    let running = run
        .env("TMPDIR", scratch.root())
        .args(["--", "sh", "-c", "echo up; sleep 100"])
        .limit(150)
        .start()
        .unwrap();
    wait_for_guest(running.id());
    std::thread::sleep(Duration::from_secs(1));
    let (forger, guest) = (running.id(), descendants(running.id()));
    running.signal(Signal::KILL);
    let output = running.finish().unwrap();
    assert_gone(&guest);
    assert_eq!(fs::read_dir(scratch.root()).unwrap().count(), 0);
    let sockets = format!("forger-{forger}-");
    for entry in fs::read_dir("/dev/shm").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(!name.starts_with(&sockets), "{name}");
    }
    output
}

/// Waits until there are processes of a guest: User-Mode Linux with its helper and a process of the guest, or
/// an emulator.
fn wait_for_guest(forger: u32) {
    let emulates = |id: &u32| {
        let name = fs::read_to_string(format!("/proc/{id}/comm"));
        name.is_ok_and(|name| name.starts_with("qemu-system"))
    };
    let deadline = Instant::now() + Duration::from_secs(100);
    loop {
        let guest = descendants(forger);
        if guest.len() >= 3 || guest.iter().any(emulates) {
            return;
        }
        assert!(Instant::now() < deadline, "no guest came up");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Asserts that processes are gone five seconds from now.
fn assert_gone(guest: &[u32]) {
    assert!(!guest.is_empty());
    let left = || -> Vec<u32> {
        let now = processes();
        let still = guest.iter().copied();
        still
            .filter(|id| now.iter().any(|(other, _)| other == id))
            .collect()
    };
    let deadline = Instant::now() + Duration::from_secs(5);
    while !left().is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(left(), Vec::<u32>::new(), "of {guest:?}");
}

/// Returns the processes that come from one.
fn descendants(of: u32) -> Vec<u32> {
    let all = processes();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = all.iter().filter(|(_, above)| *above == parent);
        found.extend(children.map(|(id, _)| *id));
        next += 1;
    }
    found.split_off(1)
}

/// Returns every process that has not ended, and its parent.
fn processes() -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // Behind the name, which may hold anything: the state and the parent.
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let state = fields.next().unwrap_or_default();
        if let (false, Some(Ok(parent))) =
            (matches!(state, "Z" | "X"), fields.next().map(str::parse))
        {
            found.push((id, parent));
        }
    }
    found
}
