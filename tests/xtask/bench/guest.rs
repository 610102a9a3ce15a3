//! Commands in guests of User-Mode Linux, against that kernel alone with a disk of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use forger_tests::{packages, rootfs};

use super::Bench;
use super::measure::Contestant;
use super::report::Report;
use crate::Outcome;

/// Boots User-Mode Linux on a disk of its own, whose script does the work and powers off. `$P` is what
/// forger loads into it, without which it does not run on every processor. The script's name has no dot:
/// the kernel would take it for a module's parameter.
const BARE: &str = "P=$(ls -t ../release/build/forger-vm-*/out/preload.so | head -1)
env -i HOME=/ TMPDIR=/dev/shm LD_PRELOAD=\"$PWD/$P\" linux.uml mem=1G ubd0d=bare.ext4 \
    root=/dev/ubda rw quiet con=null con0=null,fd:1 init=/bin/sh /bare < /dev/null > \"$O\" 2>&1
grep -q DONE \"$O\"";

/// Runs the work in a guest of a tar, as it is.
const FORGER: &str = "\"$F\" run -q --backend uml --memory 1G $A \"$R\" -- sh -c \"$S\" > \"$O\"; grep -q DONE \"$O\"";

/// How much is carried in a transfer.
const TRANSFER: u64 = 2_000_000_000;

/// What is raced: title, goal, script.
const WORKS: [(&str, f64, &str); 6] = [
    ("run true", 3.0, "true"),
    (
        "sha256 of 200 MB",
        1.25,
        "head -c 200000000 /dev/zero | sha256sum > /dev/null",
    ),
    (
        "gzip of 200 MB",
        1.25,
        "head -c 200000000 /dev/zero | gzip > /dev/null",
    ),
    (
        "500 forks",
        1.25,
        "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done",
    ),
    (
        "dpkg -x of a package of a kernel",
        1.25,
        "dpkg -x /work.deb /srv/work",
    ),
    (
        "write and flush 200 MB",
        1.25,
        "dd if=/dev/zero of=/srv/f bs=1M count=200 conv=fsync 2> /dev/null",
    ),
];

impl Bench {
    /// A start to the end of `true`, and work in a guest.
    pub(super) fn guests(&self, report: &mut Report) -> Outcome {
        let minbase = rootfs::minbase().ok_or("there is no root filesystem for guests")?;
        // Both have the package in their root.
        let (image, tar) = (self.out("guest.ext4"), self.out("guest.tar"));
        let package = packages::cloud_kernel().ok_or("there is no package to unpack")?;
        let inject = format!("{}:/work.deb:0644", package.display());
        let make = ["mkfs", "-q", "--force", "--inject", &inject];
        self.forger_ok(&make, &[&minbase, &image])?;
        self.forger_ok(
            &["extract", "-q", "--force"],
            &[&image, Path::new("--to-tar"), &tar],
        )?;
        for (title, goal, work) in WORKS {
            self.bare(&tar, work)?;
            let work = format!("{work}; echo DONE");
            let contestants = vec![
                self.guest("forger run", FORGER, &tar, &work, ""),
                self.guest("linux.uml with ubd", BARE, &tar, &work, ""),
            ];
            report.race(self.race(title, Some(goal), contestants))?;
        }
        let contestants = vec![
            self.guest(
                "forger run, a large root",
                FORGER,
                &self.inputs.tar,
                "echo DONE",
                "",
            ),
            self.guest("forger run, minbase", FORGER, &minbase, "echo DONE", ""),
        ];
        report.difference(
            self.race("the first job of a large root", None, contestants),
            0,
            1.0,
        )?;
        self.transfers(&minbase, report)
    }

    /// Makes the disk of the kernel that runs alone.
    fn bare(&self, tar: &Path, work: &str) -> Outcome {
        let script = format!(
            "mount -t proc proc /proc\n{work}\necho DONE\nsync\necho o > /proc/sysrq-trigger\nsleep 60\n"
        );
        let (bare, file) = (self.out("bare.ext4"), self.out("bare.sh"));
        std::fs::write(&file, script)?;
        self.forger_ok(&["mkfs", "-q", "--force", "--size", "2G"], &[tar, &bare])?;
        let put = [&bare, Path::new("put"), &file, Path::new("/bare")];
        self.forger_ok(&["edit", "-q"], &put)
    }

    /// Makes a contestant whose script knows a root, a work and further arguments.
    fn guest(
        &self,
        name: &'static str,
        script: &'static str,
        root: &Path,
        work: &str,
        arguments: &str,
    ) -> Contestant {
        let mut contestant = self.script(name, script);
        let (root, work, arguments) = (root.to_owned(), work.to_owned(), arguments.to_owned());
        let run = contestant.run;
        contestant.run =
            Box::new(move || run().env("R", &root).env("S", &work).env("A", &arguments));
        contestant
    }

    /// Content out of a guest, into it, and through the proxy, each beyond the start of a guest.
    fn transfers(&self, tar: &Path, report: &mut Report) -> Outcome {
        let nothing = || self.guest("forger run, 0 GB", FORGER, tar, "echo DONE", "");
        let contestants = vec![
            self.guest(
                "forger run, 2 GB out",
                "\"$F\" run -q \"$R\" -- dd if=/dev/zero bs=1000000 count=2000 2> /dev/null | wc -c > \"$O\"",
                tar,
                "",
                "",
            ),
            nothing(),
        ];
        report.difference(
            self.race("out of a guest", None, contestants),
            TRANSFER,
            200.0,
        )?;
        let contestants = vec![
            self.guest(
                "forger run, 2 GB in",
                "head -c 2000000000 /dev/zero | \"$F\" run -q -i \"$R\" -- dd of=/dev/null bs=131072 2> \"$O\"",
                tar,
                "",
                "",
            ),
            nothing(),
        ];
        report.difference(
            self.race("into a guest", None, contestants),
            TRANSFER,
            200.0,
        )?;
        let server = TcpListener::bind(("127.0.0.1", 0))?;
        let port = server.local_addr()?.port();
        std::thread::spawn(move || serve(&server));
        let fetch = format!(
            "exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/3128; \
             printf \"GET http://localhost:{port}/ HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n\" >&3; \
             cat <&3 | wc -c; echo DONE'"
        );
        let arguments = format!("--net proxy --allow-host localhost:{port}");
        let contestants = vec![
            self.guest("forger run, 1 GB fetched", FORGER, tar, &fetch, &arguments),
            nothing(),
        ];
        report.difference(
            self.race("through the proxy", None, contestants),
            1_000_000_000,
            50.0,
        )
    }
}

/// Answers every request with a thousand million bytes.
fn serve(server: &TcpListener) {
    for connection in server.incoming().flatten() {
        std::thread::spawn(move || answer(connection));
    }
}

fn answer(mut connection: TcpStream) {
    let mut request = [0; 4096];
    let piece = vec![0; 1_000_000];
    // Whoever leaves early has had enough.
    let _ = connection.read(&mut request);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
    let _ = connection.write_all(head.as_bytes());
    for _ in 0..1000 {
        if connection.write_all(&piece).is_err() {
            return;
        }
    }
}
