//! `forger run` and `forger doctor` on KVM.

use forger_tests::forger::forger;
use forger_tests::process::Run;

use super::*;

/// How long a run may take in seconds: on an emulated machine many times what it takes elsewhere.
const LIMIT_SECONDS: u64 = 300;

/// What runs of forger have: a store of their own with the first kernel of the tests, and a root.
struct Program {
    scratch: Scratch,
    root: Root,
    release: String,
    /// Keeps that KVM works: where it is emulated a guest may be slow now and then.
    verdict: PathBuf,
}

impl Program {
    /// Returns nothing where guests cannot run.
    fn make() -> Option<Self> {
        let scratch = Scratch::new();
        let verdict = works(&scratch)?;
        let backend = kernels(&scratch).into_iter().next()?;
        let root = Root::make()?;
        let path = backend.kernel.path;
        let release = backend.kernel.image.release?;
        let modules = path.ancestors().nth(2).unwrap().join("usr/lib/modules");
        if modules.is_dir() {
            let add = forger().args(["kernel", "add", "--default", "--no-sync", "-q"]);
            let add = add.arg(&path).arg("--modules").arg(modules.join(&release));
            add.env("FORGER_STORE", scratch.path("store"))
                .limit(LIMIT_SECONDS)
                .ok();
        }
        Some(Self {
            scratch,
            root,
            release,
            verdict,
        })
    }

    fn run(&self, arguments: &[&str]) -> Run {
        forger()
            .args(arguments)
            .env("FORGER_STORE", self.scratch.path("store"))
            .env("XDG_RUNTIME_DIR", &self.verdict)
            .limit(LIMIT_SECONDS)
    }

    /// Prepares to run a command in a guest.
    fn guest(&self, arguments: &[&str], script: &str) -> Run {
        let run = self.run(&["run", "--backend", "kvm", "--memory", "256M"]);
        let run = run.args(arguments).arg(self.root.scratch.path("root.ext4"));
        run.args(["--", "sh", "-c", script])
    }
}

#[test]
fn forger_run_passes_input_output_and_status_on_and_says_how_long_parts_took() {
    let Some(program) = Program::make() else {
        return;
    };
    let run = program.guest(&["-i", "--timings"], "cat; echo oops >&2; exit 7");
    let output = run.stdin("hello\n").output();
    assert_eq!(output.status.code(), Some(7), "{output}");
    assert_eq!(output.text(), "hello\n");
    let errors = output.errors();
    assert!(errors.contains("oops\n"), "{errors}");
    let kernel = format!("the guest runs Linux {} by kvm", program.release);
    assert!(errors.contains(&kernel), "{errors}");
    let timings = errors.lines().find(|line| line.contains("timings: "));
    let timings = timings.unwrap();
    for part in ["start", "entry", "kernel", "setup", "job", "end"] {
        assert!(timings.contains(&format!(" {part} ")), "{timings}");
    }
}

#[test]
fn forger_run_keeps_what_a_guest_changed() {
    let Some(program) = Program::make() else {
        return;
    };
    let tar = program.scratch.path("changed.tar");
    let to_tar = ["--no-sync", "--to-tar", tar.to_str().unwrap()];
    let script = "echo new > /srv/new; chmod 640 /srv/new; rm /etc/debian_version";
    program.guest(&to_tar, script).ok();
    let listed = Run::new("busybox").args(["tar", "-tvf"]).arg(&tar).ok();
    let listed = listed.text();
    let named = |name: &str| listed.lines().find(|line| line.ends_with(name));
    let new = named(" srv/new").unwrap();
    assert!(new.starts_with("-rw-r----- "), "{new}");
    assert_eq!(new.split_whitespace().nth(2), Some("4"), "{new}");
    assert!(named("/os-release").is_some());
    assert_eq!(named("/debian_version"), None);
}

#[test]
fn forger_doctor_and_auto_find_kvm_where_it_works() {
    let Some(program) = Program::make() else {
        return;
    };
    let output = program.run(&["doctor", "--output", "json"]).output();
    let text = output.text();
    let mut lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let kvm = lines.find(|line| line["backend"] == "kvm").unwrap();
    assert_eq!(kvm["works"], true, "{output}");
    assert_eq!(kvm["isolation"], "a virtual machine");
    assert_eq!(kvm["kernel"], program.release.as_str());
    let run = program.run(&["run", "--memory", "256M"]);
    let run = run.arg(program.root.scratch.path("root.ext4"));
    let output = run.args(["--", "true"]).ok();
    assert!(output.errors().contains(" by kvm"), "{output}");
}
