//! Commands in guests, on User-Mode Linux.

use forger_tests::forger::forger;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::{judge, need, packages, rootfs, tools, workspace};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// What makes of root an ordinary user without any rights.
const NOBODY: [&str; 4] = [
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--bounding-set=-all",
];

/// Prepares `forger run` of an ordinary user who has no home folder.
pub(crate) fn run(arguments: &[&str], tar: &Path) -> Run {
    aloud(&[&["-q"], arguments].concat(), tar)
}

/// As [`run`], which says what it does.
pub(crate) fn aloud(arguments: &[&str], tar: &Path) -> Run {
    let run = forger()
        .args(["run", "--memory", "256M"])
        .args(arguments)
        .arg(tar)
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    match tools::is_root() {
        true => run.under("setpriv", &NOBODY),
        false => run,
    }
}

/// Returns a root filesystem where guests can run.
pub(crate) fn tar() -> Option<PathBuf> {
    if !tools::present(&["linux.uml", "setpriv"]) {
        return None;
    }
    rootfs::minbase()
}

#[test]
fn output_and_exit_code_of_a_command_are_forgers_own() {
    let Some(tar) = tar() else { return };
    let script = "id -un; pwd; echo $A$http_proxy; echo oops >&2; cat; cat /proc/sys/kernel/hostname; exit 7";
    let job = ["--", "sh", "-c", script];
    let output = run(
        &[
            "-i",
            "-u",
            "nobody",
            "-w",
            "/tmp",
            "--env",
            "A=b c",
            "--hostname",
            "box",
        ],
        &tar,
    )
    .args(job)
    .stdin("in\n")
    .output();
    assert_eq!(output.status.code(), Some(7), "{output}");
    assert_eq!(output.text(), "nobody\n/tmp\nb c\nin\nbox\n", "{output}");
    assert_eq!(output.errors(), "oops\n", "{output}");
}

#[test]
fn what_a_command_changed_is_shown_and_kept_deletions_included() {
    let Some(tar) = tar() else { return };
    let scratch = Scratch::new();
    open(scratch.root());
    let (image, archive) = (scratch.path("after.ext4"), scratch.path("after.tar"));
    let script = "rm -r /etc/cron.d /etc/cron.daily; echo new > /srv/new; chmod 4711 /bin/ls; \
                  head -c 3000000 /dev/zero | tr '\\0' x > /srv/big; ln /srv/big /srv/link";
    let output = run(&["--diff"], &tar);
    let output = output
        .arg("--commit")
        .arg(&image)
        .arg("--to-tar")
        .arg(&archive)
        .args(["--", "sh", "-c", script])
        .output();
    assert!(output.status.success(), "{output}");
    let text = output.text();
    for line in [
        "- /etc/cron.d (folder)",
        "+ /srv/new (file)",
        "+ /srv/big (file)",
        "~ /usr/bin/ls: mode",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let found = text
            .lines()
            .any(|line| line.starts_with(&words[..2].join(" ")));
        assert!(found, "{line}\n{output}");
    }
    // What the guest needed to be a guest is in no result.
    for absent in ["/proc", "/sys", "/dev", "/run"] {
        assert!(
            !text
                .lines()
                .any(|line| line.contains(&format!(" {absent}"))),
            "{absent}\n{output}"
        );
    }
    judge::assert_clean(&image);
    let listed = Run::new("tar").arg("-tvf").arg(&archive).ok().text();
    assert!(
        listed.contains("3000000") && listed.contains(" srv/new"),
        "{listed}"
    );
    assert!(!listed.contains(" etc/cron.d/"), "{listed}");
    let same = forger().arg("diff").args([&image, &archive]).output();
    assert_eq!(same.status.code(), Some(0), "{same}");
}

#[test]
#[ignore = "further boots, of which the quick tests have enough"]
fn ends_that_are_not_the_commands_have_statuses_of_their_own() {
    let Some(tar) = tar() else { return };
    let code = |arguments: &[&str], command: &[&str]| {
        let output = run(arguments, &tar).arg("--").args(command).output();
        (output.status.code(), output.errors())
    };
    let (status, errors) = code(&[], &["/no/such/program"]);
    assert_eq!(status, Some(127), "{errors}");
    let (status, errors) = code(&["--timeout", "1s"], &["sleep", "100"]);
    assert_eq!(status, Some(124), "{errors}");
    // The command ends the machine: nobody knows how it itself would have ended.
    let (status, errors) = code(&[], &["sh", "-c", "echo o > /proc/sysrq-trigger; sleep 10"]);
    assert_eq!(status, Some(125), "{errors}");
    assert!(errors.contains("ended before"), "{errors}");
    let (status, errors) = code(&["--isolation", "vm", "--backend", "uml"], &["true"]);
    assert_eq!(status, Some(125), "{errors}");
    // Another first program, which is none: the machine ends, and its console says why.
    let scratch = Scratch::new();
    open(scratch.root());
    let init = scratch.file("init", "no program");
    let (status, errors) = code(&["--guest-init", init.to_str().unwrap()], &["true"]);
    assert_eq!(status, Some(125), "{errors}");
    assert!(errors.to_lowercase().contains("init"), "{errors}");
}

#[test]
fn what_was_mistaken_is_said_before_anything_is_made() {
    let source = workspace().join("testdata/sample-rootfs.tar.zst");
    let source = source.to_str().unwrap();
    for (arguments, status, said) in [
        (
            &["--allow-host", "x", source][..],
            2,
            "--net proxy gives it one",
        ),
        (&["--net-log", "x", source], 2, "--net proxy gives it one"),
        (&[source, "true"], 2, "a command follows --, as in -- true"),
        (
            &["--to-tar", "/no/such/x", source],
            125,
            "cannot open the folder /no/such",
        ),
        (&["debian:12"], 125, "oci://debian:12"),
        (
            &["--kernel", "/no/such", source],
            125,
            "--kernel takes a file, or a name",
        ),
    ] {
        let output = forger().args(["run", "-q"]).args(arguments).output();
        assert_eq!(output.status.code(), Some(status), "{output}");
        assert!(output.errors().contains(said), "{said}\n{output}");
    }
}

#[test]
#[ignore = "further boots, of which the quick tests have enough"]
fn a_guest_runs_in_what_containers_have() {
    need!("root", "unshare");
    let Some(tar) = tar() else { return };
    let scratch = Scratch::new();
    open(scratch.root());
    let small = "mount -t tmpfs -o noexec,size=64m none /dev/shm && exec \"$@\"";
    let output = run(&[], &tar)
        .args(["--", "echo", "up"])
        .under("unshare", &["--mount", "sh", "-c", small, "sh"])
        .output();
    assert!(output.status.success(), "{output}");
    assert_eq!(output.text(), "up\n");
}

#[test]
fn doctor_says_what_works_and_why_the_rest_does_not() {
    if !tools::present(&["linux.uml", "strace"]) {
        return;
    }
    let doctor = || forger().args(["doctor", "--output", "json"]);
    let found = |output: &forger_tests::process::Output| -> Vec<(String, bool, String)> {
        let text = output.text();
        let lines = text.lines().filter_map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let reason = value["reason"].as_str().unwrap_or_default().to_owned();
            // The others are kernels.
            let name = value["backend"].as_str()?.to_owned();
            Some((name, value["works"].as_bool().unwrap_or(false), reason))
        });
        lines.collect()
    };
    let output = doctor().output();
    let uml =
        |all: Vec<(String, bool, String)>| all.into_iter().find(|one| one.0 == "uml").unwrap();
    assert!(uml(found(&output)).1, "{output}");
    // A process has one tracer: below strace, the guest's kernel cannot trace.
    let traced = |run: Run| run.under("strace", &["-f", "-o", "/dev/null"]).output();
    let output = traced(doctor());
    let (_, works, reason) = uml(found(&output));
    assert!(!works && reason.contains("ptrace"), "{output}");
    let output = traced(forger().arg("doctor"));
    let text = output.text();
    let line = text.lines().find(|line| line.starts_with("uml "));
    let line = line.expect("a line for each backend");
    assert!(
        line.contains("does not work: ") && line.contains("ptrace"),
        "{output}"
    );
}

#[test]
fn a_guest_reaches_what_it_may_and_nothing_else() {
    let Some(tar) = tar() else { return };
    let scratch = Scratch::new();
    open(scratch.root());
    let server = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || serve(&server));
    let helper = "/usr/lib/apt/apt-helper -o Acquire::Retries=0 download-file";
    let script = format!(
        "{helper} http://localhost:{port}/a /tmp/a && cat /tmp/a; \
         {helper} http://127.0.0.1:{port}/b /tmp/b; {helper} http://example.invalid/c /tmp/c; ls /tmp"
    );
    let (log, host) = (scratch.path("log"), format!("localhost:{port}"));
    let output = aloud(&["--net", "proxy", "--allow-host", &host], &tar)
        .arg("--net-log")
        .arg(&log)
        .args(["--", "sh", "-c", &script])
        .output();
    assert!(output.text().contains("hello from the host"), "{output}");
    // Which backend it was, how far the guest was kept away, and which way its disk took.
    for said in [
        "the filesystem was planned, not unpacked",
        "by uml, kept from this machine by an ordinary process, weaker than a virtual machine",
        "its disks are served as the guest reads them, without a copy",
        "2 requests of the guest were refused",
    ] {
        assert!(output.errors().contains(said), "{said}\n{output}");
    }
    let log = fs::read_to_string(log).unwrap();
    let entries: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |url: &str| {
        let found = entries
            .iter()
            .find(|entry| entry["url"].as_str().unwrap().ends_with(url));
        found.unwrap_or_else(|| panic!("{url} is not in\n{log}\n{output}"))
    };
    assert_eq!(of("/a")["status"], 200, "{log}");
    assert_eq!(of("/a")["received"], 20, "{log}");
    let digest = "d0fae3c7d5d9ba5bd1a0c3ba0f6b2b8c";
    assert_eq!(
        of("/a")["sha256"].as_str().unwrap().len(),
        digest.len() * 2,
        "{log}"
    );
    assert_eq!(of("/b")["status"], 403, "{log}");
    assert_eq!(of("/c")["status"], 403, "{log}");
}

/// Answers every request with the same.
fn serve(server: &TcpListener) {
    for connection in server.incoming() {
        let Ok(mut connection) = connection else {
            return;
        };
        let mut request = [0; 4096];
        let _ = connection.read(&mut request);
        let _ = connection
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhello from the host\n");
    }
}

#[test]
fn apt_installs_a_package_through_the_proxy_and_the_result_is_whole() {
    let Some(tar) = tar() else { return };
    installed(&tar, &["--backend", "uml"], None, 560);
}

#[test]
#[ignore = "minutes of an emulated machine"]
fn apt_installs_a_package_in_an_emulated_machine_too() {
    let scratch = Scratch::new();
    let Some((tar, store)) = emulated(&scratch) else {
        return;
    };
    installed(&tar, &["--backend", "qemu-tcg"], Some(&store), 1700);
}

/// Installs a package in a guest, in so many seconds at most, and keeps the result, of which nothing is amiss.
fn installed(tar: &Path, guest: &[&str], store: Option<&Path>, limit: u64) {
    let scratch = Scratch::new();
    open(scratch.root());
    let (image, log) = (scratch.path("curl.ext4"), scratch.path("log"));
    let temporary = scratch.path("tmp");
    fs::create_dir(&temporary).unwrap();
    open(&temporary);
    let script = "apt-get -qq update && \
                  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends curl && \
                  curl --version | head -1 && rm -rf /var/lib/apt/lists/*";
    let mut run = run(&["--net", "proxy"], tar).args(guest);
    if let Some(store) = store {
        run = run.env("FORGER_STORE", store);
    }
    let output = run
        .env("TMPDIR", &temporary)
        .arg("--commit")
        .arg(&image)
        .arg("--net-log")
        .arg(&log)
        .args(["--", "sh", "-c", script])
        .limit(limit)
        .output();
    assert!(output.status.success(), "{output}");
    assert!(output.text().contains("curl 7"), "{output}");
    judge::assert_clean(&image);
    let check = forger().arg("check").arg(&image).output();
    assert!(check.status.success(), "{check}");
    let differences = forger().arg("diff").args([tar, &image]).output().text();
    assert!(
        differences.contains("+ /usr/bin/curl (file)"),
        "{differences}"
    );
    let log = fs::read_to_string(log).unwrap();
    let fetched = log.lines().find(|line| line.contains("/curl_"));
    let fetched: serde_json::Value = serde_json::from_str(fetched.expect(&log)).unwrap();
    assert_eq!(fetched["status"], 200, "{log}");
    // Nothing of the guest is left on this machine.
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

#[test]
#[ignore = "further boots, of which the quick tests have enough"]
fn a_command_has_a_real_terminal() {
    if !tools::present(&["script"]) {
        return;
    }
    let Some(tar) = tar() else { return };
    let forger = forger_tests::forger::binary();
    let line = format!(
        "stty rows 40 cols 100; exec {} run -q --memory 256M -it {} -- sh -c 'stty size; tty; read x; echo got $x; exit 5'",
        forger.display(),
        tar.display()
    );
    let output = Run::new("script")
        .args(["-qec", &line, "/dev/null"])
        .stdin("typed\n")
        .limit(120)
        .output();
    let text = output.text();
    assert_eq!(output.status.code(), Some(5), "{output}");
    for part in ["40 100\r\n", "/dev/pts/0\r\n", "got typed\r\n"] {
        assert!(text.contains(part), "{part:?}\n{output}");
    }
}

#[test]
#[ignore = "further boots, of which the quick tests have enough"]
fn shares_are_mounted_and_caches_stay() {
    let Some(tar) = tar() else { return };
    let scratch = Scratch::new();
    open(scratch.root());
    fs::create_dir(scratch.path("src")).unwrap();
    fs::write(scratch.path("src/file"), "shared\n").unwrap();
    let secret = scratch.file("token", "hush\n");
    let folder = scratch.path("src");
    let mount = format!("{}:/mnt/src:ro", folder.display());
    let secret = format!("token:{}", secret.display());
    let arguments = [
        "--mount", &mount, "--cache", "c:/var/c", "--secret", &secret,
    ];
    let again = |script: &str| {
        let output = run(&arguments, &tar)
            .env("XDG_CACHE_HOME", scratch.root())
            .args(["--", "sh", "-c", script])
            .output();
        assert!(output.status.success(), "{output}");
        output.text()
    };
    let first = "cat /mnt/src/file /run/secrets/token; touch /mnt/src/x 2>/dev/null || echo ro; \
                 echo kept > /var/c/kept";
    assert_eq!(again(first), "shared\nhush\nro\n");
    assert_eq!(again("cat /var/c/kept"), "kept\n");
}

#[test]
fn a_folder_is_read_where_it_stands_and_what_changes_in_it_meanwhile_is_said() {
    let Some(tar) = tar() else { return };
    let scratch = Scratch::new();
    let (folder, said) = (scratch.path("root"), scratch.path("said"));
    fs::create_dir(&folder).unwrap();
    let unpack = Run::new("tar").args(["-x", "--exclude=./dev/*", "-C"]);
    unpack.arg(&folder).arg("-f").arg(tar).ok();
    for name in ["early", "late"] {
        fs::write(folder.join("srv").join(name), format!("{name}\n")).unwrap();
    }
    let fifo = scratch.path("fifo");
    Run::new("mkfifo").arg(&fifo).ok();
    // Open for both, so that nobody waits for the other end.
    let mut options = fs::OpenOptions::new();
    let mut line = options.read(true).write(true).open(&fifo).unwrap();
    let script = "cat /srv/early; touch /srv/mine; read x; cat /srv/late || echo no; exit 6";
    let streams = format!("exec \"$@\" < {} > {}", fifo.display(), said.display());
    let running = forger()
        .args(["run", "--memory", "256M", "-i"])
        .arg(&folder)
        .args(["--", "sh", "-c", script])
        .under("sh", &["-c", &streams, "sh"])
        .limit(100)
        .start()
        .unwrap();
    let begun = std::time::Instant::now();
    while fs::read(&said).unwrap_or_default() != b"early\n" && begun.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    fs::write(folder.join("srv/late"), "something longer\n").unwrap();
    line.write_all(b"\n").unwrap();
    let output = running.finish().unwrap();
    assert_eq!(output.status.code(), Some(6), "{output}");
    assert_eq!(fs::read_to_string(said).unwrap(), "early\nno\n", "{output}");
    assert!(!folder.join("srv/mine").exists());
    for part in [
        "the filesystem was planned, not unpacked",
        "the guest could not read its root: cannot read srv/late: its size is another now",
    ] {
        assert!(output.errors().contains(part), "{part}\n{output}");
    }
}

/// Lets everybody write to a folder.
pub(crate) fn open(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
}

/// Returns what guests of QEMU are made of, an archive and a store with a kernel; nothing where they cannot be.
pub(crate) fn emulated(scratch: &Scratch) -> Option<(PathBuf, PathBuf)> {
    if !tools::present(&["qemu-system-x86_64"]) {
        return None;
    }
    let (tar, package) = (tar()?, packages::cloud_kernel()?);
    Some((tar, kept(&package, scratch)))
}

/// Keeps a package's kernel in a store that everybody may read; returns it.
fn kept(package: &Path, scratch: &Scratch) -> PathBuf {
    open(scratch.root());
    let store = scratch.path("store");
    let add = forger().args(["kernel", "add", "--no-sync"]).arg(package);
    add.env("FORGER_STORE", &store).limit(120).ok();
    store
}
