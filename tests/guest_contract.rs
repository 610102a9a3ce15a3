//! What every backend keeps, asserted by one suite that each of them runs.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forger_block::{FileReader, Overlay};
use forger_fs::ext4::Image;
use forger_vm::uml::Uml;
use forger_vm::{Backend, Disk, Ended, Error, Event, Guest, Job, Options};

use forger_tests::forger::forger;
use forger_tests::scratch::Scratch;
use forger_tests::{rootfs, tools};

/// The most output of a job that is kept, in bytes.
const LIMIT: usize = 32 << 20;

/// A root for guests, in a file.
struct Root {
    scratch: Scratch,
}

impl Root {
    fn make() -> Option<Self> {
        let tar = rootfs::minbase()?;
        let scratch = Scratch::new();
        let image = scratch.path("root.ext4");
        let run = forger().args(["mkfs", "-q", "--size", "1G"]);
        run.arg(tar).arg(&image).limit(300).ok();
        Some(Self { scratch })
    }

    fn boot(&self, backend: &dyn Backend) -> Guest {
        let base = FileReader::open(self.scratch.path("root.ext4")).unwrap();
        let store = Overlay::in_memory(Arc::new(base), 1 << 30);
        let root = Disk {
            store: Arc::new(store),
            read_only: false,
        };
        let options = Options {
            root: Some(root),
            memory: 256 << 20,
            clock_ns: 1_700_000_000_000_000_000,
            seed: vec![7; 64],
            scratch: self.scratch.root().to_owned(),
            ..Options::default()
        };
        Guest::boot(backend, options).unwrap()
    }
}

fn shell(script: &str) -> Job {
    let env = vec![b"PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_vec()];
    Job {
        argv: ["sh", "-c", script]
            .map(|word| word.as_bytes().to_vec())
            .into(),
        env,
        ..Job::default()
    }
}

/// Asserts the contract of backends: two boots.
fn assert_contract(backend: &dyn Backend, root: &Root, jobs: usize) {
    backend.probe().unwrap();
    let guest = root.boot(backend);
    jobs_end_as_they_say(&guest);
    many_short_jobs_are_all_there(&guest, jobs);
    jobs_run_side_by_side(&guest);
    content_goes_both_ways(&guest);
    a_reader_that_goes_away_stops_nobody(&guest);
    files_go_in_and_out(&guest);
    guest.shut_down().unwrap();
    let disk = guest.disk(0).unwrap();
    let image = Image::open(disk).unwrap();
    let file = image.lookup(b"/srv/in/name", true).unwrap();
    assert_eq!(file.size(), 5);
    drop(guest);
    a_guest_that_ends_itself_is_no_success(&root.boot(backend));
}

fn jobs_end_as_they_say(guest: &Guest) {
    let end = |script| guest.run(&shell(script)).unwrap().output(LIMIT).unwrap();
    assert_eq!(end("echo a; echo b >&2; exit 9").0, Ended::Code(9));
    assert_eq!(end("kill -TERM $$").0, Ended::Signal(15));
    let (_, out, _) = end("date +%Y; id -u; cat /proc/sys/kernel/hostname");
    assert_eq!(String::from_utf8_lossy(&out), "2023\n0\nguest\n");
    let missing = Job {
        argv: vec![b"/no/such".to_vec()],
        ..Job::default()
    };
    let (ended, ..) = guest.run(&missing).unwrap().output(LIMIT).unwrap();
    assert!(matches!(ended, Ended::Failed { errno: 2, .. }), "{ended:?}");
    // A daemon that keeps the output open holds nobody up.
    let start = Instant::now();
    assert_eq!(end("sleep 300 & echo gone").1, b"gone\n");
    assert!(start.elapsed() < Duration::from_secs(60));
    // What a job writes after the end of its own output stays where it is.
    let unknown = Job {
        user: b"nosuchuser".to_vec(),
        ..shell("true")
    };
    let (ended, ..) = guest.run(&unknown).unwrap().output(LIMIT).unwrap();
    assert!(matches!(ended, Ended::Failed { .. }), "{ended:?}");
}

fn many_short_jobs_are_all_there(guest: &Guest, jobs: usize) {
    for number in 0..jobs {
        let script = format!("echo {number}; exit {}", number % 251);
        let (ended, out, _) = guest.run(&shell(&script)).unwrap().output(LIMIT).unwrap();
        let code = u8::try_from(number % 251).unwrap();
        assert_eq!(ended, Ended::Code(code));
        assert_eq!(out, format!("{number}\n").into_bytes());
    }
}

fn jobs_run_side_by_side(guest: &Guest) {
    // Each waits for the other's file.
    let job = |mine, other| {
        shell(&format!(
            "touch /tmp/{mine}; while [ ! -e /tmp/{other} ]; do sleep 0.1; done"
        ))
    };
    let first = guest.run(&job("a", "b")).unwrap();
    let second = guest.run(&job("b", "a")).unwrap();
    assert_eq!(second.output(LIMIT).unwrap().0, Ended::Code(0));
    assert_eq!(first.output(LIMIT).unwrap().0, Ended::Code(0));
}

fn content_goes_both_ways(guest: &Guest) {
    let job = Job {
        stdin: true,
        ..shell("cat")
    };
    let process = guest.run(&job).unwrap();
    let mut input = process.input();
    let sent: Vec<u8> = (0..=250).cycle().take(8 << 20).collect();
    let expected = sent.clone();
    let writer = std::thread::spawn(move || input.write_all(&sent));
    let (ended, out, _) = process.output(LIMIT).unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(ended, Ended::Code(0));
    assert!(out == expected, "{} bytes came back", out.len());
}

fn a_reader_that_goes_away_stops_nobody(guest: &Guest) {
    let job = Job {
        stdin: true,
        ..shell("exec 0<&-; exit 4")
    };
    let process = guest.run(&job).unwrap();
    let mut input = process.input();
    let writer = std::thread::spawn(move || {
        // Nobody reads it; that is no mistake of whoever sends.
        let _ = input.write_all(&vec![0; 3 << 20]);
    });
    assert_eq!(process.output(LIMIT).unwrap().0, Ended::Code(4));
    writer.join().unwrap();
    // Output that is not taken is lost with its job, which runs on.
    drop(guest.run(&shell("yes")).unwrap());
    let (_, out, _) = guest.run(&shell("echo on")).unwrap().output(LIMIT).unwrap();
    assert_eq!(out, b"on\n");
    let pause = guest
        .run(&shell("pkill yes || killall yes || true"))
        .unwrap();
    pause.output(LIMIT).unwrap();
}

fn files_go_in_and_out(guest: &Guest) {
    let mut builder = Vec::new();
    let mut archive = forger_tests::archive::Archive::new();
    archive.push(&forger_tests::archive::Member::file("name", b"hello"));
    builder.extend(archive.finish());
    guest.put(b"/srv/in", &builder[..]).unwrap();
    let (_, out, _) = guest
        .run(&shell("cat /srv/in/name"))
        .unwrap()
        .output(LIMIT)
        .unwrap();
    assert_eq!(out, b"hello");
    let mut tar = Vec::new();
    guest.get(b"/srv/in", &mut tar).unwrap();
    assert!(tar.windows(5).any(|window| window == b"hello"));
    let error = guest.get(b"/no/such", &mut Vec::new()).unwrap_err();
    assert!(matches!(error, Error::Transfer { .. }), "{error:?}");
    let error = guest
        .put(b"/srv/in", &b"this is no tar at all"[..])
        .unwrap_err();
    assert!(matches!(error, Error::Transfer { .. }), "{error:?}");
}

fn a_guest_that_ends_itself_is_no_success(guest: &Guest) {
    let process = guest.run(&shell("echo o > /proc/sysrq-trigger; sleep 60"));
    let process = process.unwrap();
    let error = loop {
        match process.next() {
            Ok(Event::Exit(ended)) => panic!("{ended:?}"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    assert!(guest.run(&shell("true")).is_err());
}

fn uml() -> Option<Uml> {
    if !tools::present(&["linux.uml"]) {
        return None;
    }
    Some(Uml {
        kernel: tools::find("linux.uml")?,
        memory_folders: vec!["/dev/shm".into(), "/tmp".into()],
        serve_disks: false,
    })
}

#[test]
fn user_mode_linux_keeps_the_contract() {
    let Some(backend) = uml() else { return };
    let Some(root) = Root::make() else { return };
    assert_contract(&backend, &root, 100);
}

#[test]
#[ignore = "takes minutes"]
fn a_thousand_jobs_and_fifty_boots_go_by_without_a_loss() {
    let Some(backend) = uml() else { return };
    let Some(root) = Root::make() else { return };
    assert_contract(&backend, &root, 1000);
    for _ in 0..50 {
        let guest = root.boot(&backend);
        let (ended, ..) = guest.run(&shell("exit 3")).unwrap().output(LIMIT).unwrap();
        assert_eq!(ended, Ended::Code(3));
        guest.shut_down().unwrap();
    }
}
