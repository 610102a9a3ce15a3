//! What every backend keeps, asserted by one suite that each of them runs.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use forger_block::{BlockRead, FileReader, Overlay, Run as BlockRun, run_within};
use forger_fs::ext4::Image;
use forger_vm::kernel::{Folder, Kernel};
use forger_vm::qemu::{Accelerator, Architecture, Qemu};
use forger_vm::uml::Uml;
use forger_vm::{
    Access, Backend, Disk, Ended, Error, Event, Guest, Job, Limit, Mounted, Options, Resource,
};

use forger_tests::forger::forger;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::{judge, packages, rootfs, tools, workspace};

/// The most output of a job that is kept, in bytes.
const LIMIT: usize = 32 << 20;

/// A root for guests, in a file.
pub(crate) struct Root {
    pub(crate) scratch: Scratch,
}

impl Root {
    /// Makes it of Debian's smallest, or takes what the variable `FORGER_TEST_ROOT` names: a machine that is made
    /// for these tests only has it ready.
    pub(crate) fn make() -> Option<Self> {
        let scratch = Scratch::new();
        let image = scratch.path("root.ext4");
        if let Some(made) = std::env::var_os("FORGER_TEST_ROOT") {
            std::os::unix::fs::symlink(made, image).unwrap();
            return Some(Self { scratch });
        }
        let tar = rootfs::minbase()?;
        let run = forger().args(["mkfs", "-q", "--size", "1G"]);
        run.arg(tar).arg(&image).limit(300).ok();
        Some(Self { scratch })
    }

    pub(crate) fn boot(&self, backend: &dyn Backend) -> Guest {
        Guest::boot(backend, self.options()).unwrap()
    }

    /// Returns the options of a guest with this root.
    pub(crate) fn options(&self) -> Options {
        Options {
            root: Some(disk(&self.scratch.path("root.ext4"))),
            memory: 256 << 20,
            clock_ns: 1_700_000_000_000_000_000,
            seed: vec![7; 64],
            scratch: self.scratch.root().to_owned(),
            ..Options::default()
        }
    }
}

/// Returns a file as a disk; what is written to it is kept in memory.
pub(crate) fn disk(image: &Path) -> Disk {
    let base = FileReader::open(image).unwrap();
    Disk {
        store: Arc::new(Overlay::in_memory(Arc::new(base), 1 << 30)),
        read_only: false,
    }
}

pub(crate) fn shell(script: &str) -> Job {
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
pub(crate) fn assert_contract(backend: &dyn Backend, root: &Root, jobs: usize) {
    backend.probe().unwrap();
    let guest = root.boot(backend);
    jobs_end_as_they_say(&guest);
    jobs_are_who_and_where_they_are_meant_to_be(&guest);
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

fn jobs_are_who_and_where_they_are_meant_to_be(guest: &Guest) {
    let script = "id -u; id -g; id -G; pwd; echo $A; ulimit -n; ulimit -c";
    let limit = |resource, value| Limit { resource, value };
    let mut job = Job {
        cwd: b"/usr/share".to_vec(),
        user: b"daemon:adm".to_vec(),
        limits: vec![limit(Resource::Files, 77), limit(Resource::Core, 0)],
        ..shell(script)
    };
    job.env.push(b"A=b c".to_vec());
    let (ended, out, _) = guest.run(&job).unwrap().output(LIMIT).unwrap();
    let said = String::from_utf8_lossy(&out);
    assert_eq!(said, "1\n4\n4\n/usr/share\nb c\n77\n0\n", "{ended:?}");
    let job = Job {
        cwd: b"/no/such".to_vec(),
        ..shell("true")
    };
    match guest.run(&job).unwrap().output(LIMIT).unwrap().0 {
        Ended::Failed { what, .. } => assert!(what.contains("no folder /no/such"), "{what}"),
        ended => panic!("{ended:?}"),
    }
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

pub(crate) fn uml() -> Option<Uml> {
    if !tools::present(&["linux.uml"]) {
        return None;
    }
    Some(Uml {
        kernel: tools::find("linux.uml")?,
        memory_folders: vec!["/dev/shm".into(), "/tmp".into()],
        serve_disks: true,
    })
}

/// Returns QEMU without KVM, with a kernel that is kept in `scratch`.
fn qemu(scratch: &Scratch) -> Option<Qemu> {
    if !tools::present(&["qemu-system-x86_64"]) {
        return None;
    }
    let kernel = debian_kernel(scratch)?;
    Some(Qemu {
        program: tools::find("qemu-system-x86_64")?,
        architecture: Architecture::X86_64,
        accelerator: Accelerator::Tcg,
        kernel,
    })
}

/// Keeps Debian's kernel for clouds, with its modules, in `scratch`.
pub(crate) fn debian_kernel(scratch: &Scratch) -> Option<Kernel> {
    let added = forger()
        .args(["kernel", "add", "--no-sync", "--output", "json"])
        .arg(packages::cloud_kernel()?)
        .env("FORGER_STORE", scratch.path("store"))
        .limit(120)
        .ok();
    let facts: serde_json::Value = serde_json::from_str(&added.text()).unwrap();
    let path = |name: &str| PathBuf::from(facts[name].as_str().unwrap());
    let kernel = Kernel::open(&path("path")).unwrap();
    Some(kernel.with_modules(Arc::new(Folder(path("modules_path")))))
}

/// Returns the kernel in a folder that has one as the root of a filesystem has it.
pub(crate) fn kernel_below(root: &Path) -> Kernel {
    let modules = fs::read_dir(root.join("usr/lib/modules")).unwrap();
    let modules = modules.flatten().next().unwrap().path();
    let kernels = fs::read_dir(root.join("boot")).unwrap().flatten();
    let mut paths = kernels.map(|entry| entry.path());
    let kernel = paths.find(|path| {
        path.file_name()
            .unwrap()
            .as_encoded_bytes()
            .starts_with(b"vmlinu")
    });
    let kernel = Kernel::open(&kernel.unwrap()).unwrap();
    kernel.with_modules(Arc::new(Folder(modules)))
}

#[test]
fn user_mode_linux_keeps_the_contract() {
    let Some(backend) = uml() else { return };
    let Some(root) = Root::make() else { return };
    assert_contract(&backend, &root, 100);
}

#[test]
fn user_mode_linux_without_its_driver_gets_copies_of_its_disks() {
    let Some(backend) = uml() else { return };
    let Some(root) = Root::make() else { return };
    let served = root.boot(&backend);
    assert_eq!(served.access(), Access::Served);
    drop(served);
    let backend = Uml {
        serve_disks: false,
        ..backend
    };
    let guest = root.boot(&backend);
    assert_eq!(guest.access(), Access::Copied);
    jobs_end_as_they_say(&guest);
    files_go_in_and_out(&guest);
    guest.shut_down().unwrap();
    let image = Image::open(guest.disk(0).unwrap()).unwrap();
    assert_eq!(image.lookup(b"/srv/in/name", true).unwrap().size(), 5);
}

#[test]
fn an_emulated_machine_runs_jobs_and_leaves_its_disk_in_order() {
    let Some(root) = Root::make() else { return };
    let Some(backend) = qemu(&root.scratch) else {
        return;
    };
    backend.probe().unwrap();
    let guest = root.boot(&backend);
    assert_eq!(guest.access(), Access::Served);
    many_short_jobs_are_all_there(&guest, 5);
    files_go_in_and_out(&guest);
    guest.shut_down().unwrap();
    let image = Image::open(guest.disk(0).unwrap()).unwrap();
    assert_eq!(image.lookup(b"/srv/in/name", true).unwrap().size(), 5);
}

#[test]
#[ignore = "two boots of an emulated machine"]
fn an_emulated_machine_keeps_the_contract() {
    let Some(root) = Root::make() else { return };
    let Some(backend) = qemu(&root.scratch) else {
        return;
    };
    assert_contract(&backend, &root, 100);
}

#[test]
#[ignore = "takes minutes"]
fn a_thousand_jobs_in_one_boot_go_by_without_a_loss() {
    let Some(backend) = uml() else { return };
    let Some(root) = Root::make() else { return };
    let guest = root.boot(&backend);
    many_short_jobs_are_all_there(&guest, 1000);
    guest.shut_down().unwrap();
}

#[test]
#[ignore = "takes minutes"]
fn fifty_boots_go_by_without_a_hang() {
    let Some(backend) = uml() else { return };
    let Some(root) = Root::make() else { return };
    boots(&backend, &root, 50);
}

#[test]
fn five_boots_go_by_without_a_hang() {
    let Some(backend) = uml() else { return };
    let Some(root) = Root::make() else { return };
    boots(&backend, &root, 5);
}

fn boots(backend: &dyn Backend, root: &Root, count: usize) {
    for _ in 0..count {
        let guest = root.boot(backend);
        let (ended, ..) = guest.run(&shell("exit 3")).unwrap().output(LIMIT).unwrap();
        assert_eq!(ended, Ended::Code(3));
        guest.shut_down().unwrap();
    }
}

#[test]
fn filesystems_grow_while_they_are_mounted_within_their_reserve_and_beyond_it() {
    if !tools::present(&["e2fsck"]) {
        return;
    }
    let Some(backend) = uml() else { return };
    let Some(root) = Root::make() else { return };
    // The root has a reserve for a tebibyte; the other one for 300 MiB.
    let (image, small) = (
        root.scratch.path("root.ext4"),
        root.scratch.path("small.ext4"),
    );
    let sample = workspace().join("testdata/sample-rootfs.tar.zst");
    let sizes = ["--size", "64M", "--max-size", "300M"];
    root.scratch.mkfs(&sample, "small.ext4", &sizes);
    let longer = |image: &Path, len| {
        let file = fs::OpenOptions::new().write(true).open(image).unwrap();
        file.set_len(len).unwrap();
    };
    longer(&image, 3 << 30);
    longer(&small, 2 << 30);
    let mut options = root.options();
    options.mounts.push(Mounted {
        disk: Some(disk(&small)),
        target: b"/mnt".to_vec(),
    });
    let guest = Guest::boot(&backend, options).unwrap();
    let script = "set -e; echo before > /mnt/before; resize2fs /dev/vda; resize2fs /dev/vdb; \
                  fallocate -l 1500M /mnt/large; echo after > /after; rm /mnt/large; df /mnt";
    let (ended, out, errors) = guest.run(&shell(script)).unwrap().output(LIMIT).unwrap();
    let said = String::from_utf8_lossy(&[out, errors].concat()).into_owned();
    assert_eq!(ended, Ended::Code(0), "{said}");
    guest.shut_down().unwrap();
    for (number, name, blocks) in [(0, "root.after", 3 << 18), (1, "small.after", 2 << 18)] {
        let path = root.scratch.path(name);
        copy(&*guest.disk(number).unwrap(), &path);
        judge::assert_clean(&path);
        let found = judge::number(&judge::superblock(&path), "Block count");
        assert_eq!(found, blocks, "{name}: {said}");
    }
}

#[test]
fn the_example_of_the_library_runs_a_command_on_an_image() {
    if !tools::present(&["linux.uml"]) {
        return;
    }
    let Some(root) = Root::make() else { return };
    let example = forger_tests::forger::example("forger-vm", "guest");
    let output = Run::new(example)
        .arg(root.scratch.path("root.ext4"))
        .args(["sh", "-c", "echo out; touch /new; exit 4"])
        .output();
    assert_eq!(output.text(), "out\n", "{output}");
    assert!(output.errors().contains("Code(4)"), "{output}");
}

/// Writes what a disk holds into a file, without its holes.
fn copy(disk: &dyn BlockRead, path: &Path) {
    let file = fs::File::create(path).unwrap();
    file.set_len(disk.len()).unwrap();
    let mut at = 0;
    while at < disk.len() {
        let run = run_within(disk, at, 1 << 20).unwrap();
        if let BlockRun::Data(len) = run {
            let mut piece = vec![0; usize::try_from(len).unwrap()];
            disk.read_at(at, &mut piece).unwrap();
            file.write_all_at(&piece, at).unwrap();
        }
        at += run.len();
    }
}
