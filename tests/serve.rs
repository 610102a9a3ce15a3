//! Disks that are served over NBD, judged by QEMU's and libnbd's clients.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use forger_tests::archive::{Archive, Member};
use forger_tests::forger::forger;
use forger_tests::images::{Layout, Packed};
use forger_tests::process::{Output, Run, Running};
use forger_tests::scratch::Scratch;
use forger_tests::{disks, need, workspace};
use rustix::process::Signal;

use crate::disk::{convert, json};

/// A server that runs, and where its clients find it.
pub(crate) struct Server {
    running: Running,
    socket: PathBuf,
}

impl Server {
    /// Starts `forger serve` and waits until it listens.
    pub(crate) fn start(scratch: &Scratch, image: &Path, args: &[&str]) -> Self {
        let socket = scratch.path("disk.sock");
        let run = forger().arg("serve").arg(image).args(args);
        Self::of(run.arg("--socket").arg(&socket), socket)
    }

    pub(crate) fn of(run: Run, socket: PathBuf) -> Self {
        let mut running = run.start().unwrap();
        let started = Instant::now();
        while !socket.exists() && running.runs() {
            assert!(started.elapsed() < Duration::from_secs(60), "it listens");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { running, socket }
    }

    fn uri(&self) -> String {
        format!("nbd+unix:///?socket={}", self.socket.display())
    }

    /// Stops it as Ctrl-C would; its socket goes with it.
    pub(crate) fn stop(self) -> Output {
        self.running.signal(Signal::INT);
        let output = self
            .running
            .finish()
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(output.status.success(), "{output}");
        assert!(!self.socket.exists(), "{output}");
        output
    }

    /// Waits until it ends by itself; its socket goes with it.
    pub(crate) fn ended(self) -> Output {
        let output = self
            .running
            .finish()
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(output.status.success(), "{output}");
        assert!(!self.socket.exists(), "{output}");
        output
    }

    fn qemu_io(&self, commands: &[&str]) -> Output {
        qemu_io(&["-f", "raw", &self.uri()], commands)
    }
}

fn qemu_io(target: &[&str], commands: &[&str]) -> Output {
    let run = Run::new("qemu-io").args(commands.iter().flat_map(|command| ["-c", command]));
    run.args(target).output()
}

fn same(first: &str, second: &str) {
    Run::new("qemu-img")
        .args(["compare", "-f", "raw", "-F", "raw", first, second])
        .ok();
}

#[test]
fn a_compressed_qcow2_is_read_by_every_client() {
    need!("qemu-img", "nbdinfo", "nbdcopy");
    let scratch = Scratch::new();
    let raw = disks::raw(&scratch, "disk.raw");
    let image = scratch.path("disk.qcow2");
    convert(&raw, &image, &["--compress", "zstd"]);
    // qcow2 rounds the disk up to whole sectors.
    let size = fs::metadata(&raw).unwrap().len().next_multiple_of(512);
    fs::OpenOptions::new()
        .write(true)
        .open(&raw)
        .unwrap()
        .set_len(size)
        .unwrap();
    let server = Server::start(
        &scratch,
        &image,
        &["-v", "--name", "", "--max-clients", "3"],
    );
    let uri = server.uri();
    same(&raw.to_string_lossy(), &uri);
    let facts = json(&Run::new("nbdinfo").args(["--json", &uri]).ok());
    assert_eq!(facts["protocol"], "newstyle-fixed");
    assert_eq!(facts["structured"], true);
    let export = &facts["exports"][0];
    assert_eq!(export["export-size"], size);
    assert_eq!(export["contexts"][0], "base:allocation");
    assert_eq!(export["is_read_only"], true);
    assert_eq!(export["can_multi_conn"], true);
    let map = json(&Run::new("nbdinfo").args(["--map", "--json", &uri]).ok());
    let runs = map.as_array().unwrap();
    let total: u64 = runs.iter().map(|run| run["length"].as_u64().unwrap()).sum();
    assert_eq!(total, size);
    assert!(runs.iter().any(|run| run["type"] == 3), "holes: {map}");
    let copy = scratch.path("copy.raw");
    Run::new("nbdcopy").arg(&uri).arg(&copy).ok();
    Run::new("cmp").arg(&raw).arg(&copy).ok();
    // Old clients, which know neither options nor structured replies.
    let oldest = scratch.path("oldest.raw");
    let target = format!(
        "driver=nbd,server.type=unix,server.path={}",
        server.socket.display()
    );
    Run::new("qemu-img")
        .args(["convert", "--image-opts", &target, "-O", "raw"])
        .arg(&oldest)
        .ok();
    same(&raw.to_string_lossy(), &oldest.to_string_lossy());
    let refused = server.qemu_io(&["write 0 512"]);
    assert!(!refused.status.success(), "{refused}");
    let said = server.stop();
    assert!(said.text().starts_with(&uri), "{said}");
    assert!(said.text().ends_with("read-only\n"), "{said}");
}

#[test]
fn what_clients_write_is_saved_and_the_image_stays() {
    need!("qemu-img", "qemu-io");
    let scratch = Scratch::new();
    let raw = disks::raw(&scratch, "disk.raw");
    let size = fs::metadata(&raw).unwrap().len().next_multiple_of(512);
    fs::OpenOptions::new()
        .write(true)
        .open(&raw)
        .unwrap()
        .set_len(size)
        .unwrap();
    let image = scratch.path("disk.vhdx");
    convert(&raw, &image, &[]);
    let before = fs::read(&image).unwrap();
    let commands = [
        "write -P 0x5a 1000k 300k",
        "write -P 0x33 -f 4097 3",
        "aio_write -P 0x77 6M 2M",
        "aio_flush",
        "write -z 2100k 100k",
        "write -z -u 6500k 512k",
        "discard 0 64k",
        "flush",
    ];
    // What was discarded has no certain content.
    let settle = "write -P 0x11 0 64k";
    for (kind, saved) in [("memory", "saved.qcow2"), ("file", "saved.vmdk")] {
        let saved = scratch.path(saved);
        let server = Server::start(
            &scratch,
            &image,
            &[
                "--overlay",
                kind,
                "--save",
                &saved.to_string_lossy(),
                "--overlay-limit",
                "20M",
            ],
        );
        let wrote = server.qemu_io(&[&commands[..], &[settle, "read -P 0x77 7M 1M"]].concat());
        assert!(wrote.status.success(), "{wrote}");
        server.stop();
        let expected = scratch.copy(&raw, "expected.raw");
        let path = expected.to_string_lossy();
        let wrote = qemu_io(&["-f", "raw", &path], &[&commands[..], &[settle]].concat());
        assert!(wrote.status.success(), "{wrote}");
        forger().arg("compare").arg(&expected).arg(&saved).ok();
        assert!(fs::read(&image).unwrap() == before, "the image stays");
    }
}

#[test]
fn a_full_overlay_is_no_space_and_goes_on() {
    need!("qemu-io");
    let scratch = Scratch::new();
    let raw = scratch.file("disk.raw", vec![1; 1 << 20]);
    let server = Server::start(
        &scratch,
        &raw,
        &["--overlay", "memory", "--overlay-limit", "100K"],
    );
    let full = server.qemu_io(&["write 0 512k"]);
    assert!(full.text().contains("No space left"), "{full}");
    let fits = server.qemu_io(&["write -P 9 0 4k", "read -P 9 0 4k", "read -P 1 4k 4k"]);
    assert!(
        fits.status.success() && !fits.text().contains("failed"),
        "{fits}"
    );
    server.stop();
}

#[test]
fn a_raw_disk_is_written_in_place_where_that_is_said() {
    need!("qemu-io");
    let scratch = Scratch::new();
    let raw = scratch.file("disk.raw", vec![1; 1 << 20]);
    let server = Server::start(&scratch, &raw, &["--in-place", "--once"]);
    let wrote = server.qemu_io(&["write -P 7 8k 4k", "write -z 16k 4k"]);
    assert!(wrote.status.success(), "{wrote}");
    // The client has gone, and so does the server.
    server.ended();
    let mut expected = vec![1; 1 << 20];
    expected[8192..12_288].fill(7);
    expected[16_384..20_480].fill(0);
    assert!(fs::read(&raw).unwrap() == expected);
    let qcow2 = scratch.path("disk.qcow2");
    convert(&raw, &qcow2, &[]);
    let refused = forger()
        .arg("serve")
        .arg(&qcow2)
        .args(["--in-place", "--socket", "never.sock"])
        .output();
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(refused.errors().contains("--overlay"), "{refused}");
}

#[test]
fn a_filesystem_that_was_never_written_is_the_one_that_mkfs_makes() {
    need!("qemu-img", "zstd");
    let scratch = Scratch::new();
    let tar = scratch.path("rootfs.tar");
    let sample = workspace().join("testdata/sample-rootfs.tar.zst");
    Run::new("zstd")
        .args(["-dq"])
        .arg(&sample)
        .arg("-o")
        .arg(&tar)
        .ok();
    let made = scratch.mkfs(&tar, "made.ext4", &["--size", "300M"]);
    let server = Server::start(&scratch, &tar, &["--mkfs", "--size", "300M"]);
    same(&made.to_string_lossy(), &server.uri());
    server.stop();
}

#[test]
fn a_filesystem_of_layers_and_folders_is_served_and_only_what_is_compressed_is_kept() {
    need!("qemu-img", "gzip");
    let scratch = Scratch::new();
    let sample = workspace().join("testdata/sample-rootfs.tar.zst");
    let mut layout = Layout::new(scratch.path("layout"));
    let (mut lower, mut upper) = (Archive::new(), Archive::new());
    lower.extend(&[
        Member::file("srv/plain", vec![5; 600_000]),
        Member::file("srv/gone", vec![6; 10_000]),
    ]);
    upper.extend(&[
        Member::file("srv/.wh.gone", ""),
        Member::file("srv/file", vec![7; 300_000]),
    ]);
    let layers = [
        (lower.finish(), Packed::Plain),
        (upper.finish(), Packed::Gzip),
    ];
    let image = layout.image(&layers, "amd64", serde_json::json!({}));
    layout.list(image, "app");
    let archive = format!("oci-archive:{}", scratch.path("app.tar").display());
    forger().args(["copy", &layout.named("app"), &archive]).ok();
    let folder = scratch.path("folder");
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join("sub/file"), vec![8; 300_000]).unwrap();
    fs::hard_link(folder.join("sub/file"), folder.join("name")).unwrap();
    let hole = fs::File::create(folder.join("hole")).unwrap();
    hole.set_len(1 << 20).unwrap();
    let (folder, sample) = (folder.to_string_lossy(), sample.to_string_lossy());
    for (source, kept) in [
        (&*sample, Some("KiB of")),
        (&*layout.named("app"), Some("293.0 KiB of")),
        (&*archive, Some("293.0 KiB of")),
        (&*folder, None),
    ] {
        let made = scratch.mkfs(Path::new(source), "made.ext4", &["--size", "300M"]);
        let args = ["--mkfs", "--size", "300M", "-v"];
        let server = Server::start(&scratch, Path::new(source), &args);
        same(&made.to_string_lossy(), &server.uri());
        let said = server.stop();
        let said = said.errors();
        let of_kept = said.lines().find(|line| line.contains("only once"));
        assert_eq!(of_kept.is_some(), kept.is_some(), "{source}: {said}");
        assert!(
            kept.is_none_or(|kept| said.contains(kept)),
            "{source}: {said}"
        );
        fs::remove_file(made).unwrap();
    }
}

#[test]
fn hostile_and_idle_clients_hold_up_nobody() {
    need!("nbdinfo");
    let scratch = Scratch::new();
    let raw = scratch.file("disk.raw", vec![1; 1 << 20]);
    let server = Server::start(&scratch, &raw, &["--max-clients", "8", "-v"]);
    let mut quiet = Vec::new();
    for number in 0..7_u8 {
        let mut stream = UnixStream::connect(&server.socket).unwrap();
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting[..16], b"NBDMAGICIHAVEOPT");
        if number < 3 {
            // Garbage ends the connection.
            stream.write_all(&[number; 64]).unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        } else {
            quiet.push(stream);
        }
    }
    Run::new("nbdinfo")
        .args(["--size", &server.uri()])
        .limit(30)
        .ok();
    let said = server.stop();
    assert!(said.errors().contains("unknown flags"), "{said}");
    drop(quiet);
}

#[test]
fn tcp_is_for_this_machine_unless_more_is_said() {
    need!("nbdinfo");
    let scratch = Scratch::new();
    let raw = scratch.file("disk.raw", vec![1; 1 << 20]);
    let refused = forger()
        .arg("serve")
        .arg(&raw)
        .args(["--tcp", "0.0.0.0:10809"])
        .output();
    assert_eq!(refused.status.code(), Some(2), "{refused}");
    assert!(refused.errors().contains("--allow-remote"), "{refused}");
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let run = forger()
        .arg("serve")
        .arg(&raw)
        .args(["--tcp", &port, "--name", "a disk"]);
    let running = run.args(["--exit-when-idle", "20"]).start().unwrap();
    let uri = format!("nbd://127.0.0.1:{port}/a%20disk");
    let started = Instant::now();
    let size = loop {
        let asked = Run::new("nbdinfo").args(["--size", &uri]).output();
        if asked.status.success() || started.elapsed() > Duration::from_secs(30) {
            break asked.text();
        }
    };
    assert_eq!(size.trim(), "1048576");
    running.signal(Signal::TERM);
    let output = running.finish().unwrap();
    assert!(
        output.status.success() && output.text().contains(&uri),
        "{output}"
    );
}

#[test]
fn a_server_that_nobody_comes_to_ends_by_itself() {
    let scratch = Scratch::new();
    let raw = scratch.file("disk.raw", vec![1; 4096]);
    let run = forger()
        .arg("serve")
        .arg(&raw)
        .arg("--socket")
        .arg(scratch.path("s"));
    let output = run.args(["--exit-when-idle", "0"]).limit(30).ok();
    assert!(!scratch.path("s").exists(), "{output}");
}

#[test]
fn an_ordinary_user_serves_and_is_served() {
    need!("root", "setpriv", "nbdinfo");
    let scratch = Scratch::new();
    let raw = scratch.file("disk.raw", vec![1; 1 << 20]);
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(scratch.root(), open).unwrap();
    let nobody = [
        "--reuid",
        "65534",
        "--clear-groups",
        "--bounding-set=-all",
        "--inh-caps=-all",
    ];
    let socket = scratch.path("disk.sock");
    let run = forger().arg("serve").arg(&raw).arg("--socket").arg(&socket);
    let server = Server::of(run.under("setpriv", &nobody), socket.clone());
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let asked = Run::new("nbdinfo").args(["--size", &server.uri()]);
    assert_eq!(
        asked.under("setpriv", &nobody).ok().text().trim(),
        "1048576"
    );
    server.stop();
}
