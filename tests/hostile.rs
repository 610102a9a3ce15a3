//! Images from outside that name other files: none is opened, whatever the command.

use std::fs;
use std::path::{Path, PathBuf};

use forger_tests::forger;
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;

/// What must not be opened.
const SECRET: &str = "secret-of-this-machine";

/// Makes images that name the secret, each in its way.
fn images(scratch: &Scratch) -> Vec<PathBuf> {
    let secret = scratch.file(SECRET, vec![0x55; 1 << 20]);
    let secret = secret.display().to_string();
    let create = |args: &[&str], name: &str| {
        let run = Run::new("qemu-img").args(["create", "-q", "-f", "qcow2"]);
        run.args(args).arg(name).arg("1M").dir(scratch.root()).ok();
        scratch.path(name)
    };
    let backing = create(&["-u", "-b", &secret, "-F", "raw"], "backing.qcow2");
    let relative = create(&["-u", "-b", SECRET, "-F", "raw"], "relative.qcow2");
    let unsaid = create(&["-u", "-b", &secret, "-F", "qcow2"], "qcow2.qcow2");
    // qemu-img makes none that names itself.
    let other = create(
        &["-u", "-b", "itself.qcow2", "-F", "qcow2"],
        "renamed.qcow2",
    );
    let itself = scratch.path("itself.qcow2");
    fs::rename(other, &itself).unwrap();
    // qemu-img would make the data file anew.
    let data = create(&["-o", "data_file=data.raw"], "data.qcow2");
    let mut bytes = fs::read(&data).unwrap();
    let at = bytes
        .windows(8)
        .position(|part| part == b"data.raw")
        .unwrap();
    let name = &SECRET.as_bytes()[..8];
    bytes[at..at + 8].copy_from_slice(name);
    fs::write(scratch.path("secret-o"), vec![0x55; 1 << 20]).unwrap();
    let data = scratch.file("data.qcow2", bytes);
    let flat = format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n\
         createType=\"monolithicFlat\"\nRW 2048 FLAT \"{secret}\" 0\n"
    );
    let flat = scratch.file("flat.vmdk", flat);
    vec![backing, relative, unsaid, itself, data, flat]
}

/// Runs forger and returns what files it looked at.
fn looked_at(scratch: &Scratch, args: &[&str]) -> String {
    let log = scratch.path("log");
    let run = Run::new("strace").args(["-f", "-qq", "-e", "signal=none", "-e", "trace=file"]);
    let run = run.arg("-o").arg(&log).arg(forger::binary()).args(args);
    let output = run.dir(scratch.root()).output();
    assert!(matches!(output.status.code(), Some(0..=4)), "{output}");
    assert!(!output.text().contains("UUUU"), "{output}");
    fs::read_to_string(&log).unwrap()
}

#[test]
fn no_image_makes_any_command_look_at_another_file() {
    need!("qemu-img", "strace");
    let scratch = Scratch::new();
    let other = scratch.file("other.raw", vec![1; 1 << 20]);
    let leave = format!("--allow-backing={}", other.display());
    for image in images(&scratch) {
        let name = image.file_name().unwrap().to_str().unwrap();
        let inside = format!("{name}:/etc/passwd");
        let commands: [&[&str]; 8] = [
            &["info", name],
            &["check", name],
            &["convert", name, "out.raw", "--force", "--no-sync"],
            &["convert", name, "out.qcow2", "--force", "--no-sync", &leave],
            &["compare", name, "other.raw"],
            &["ls", name],
            &["cat", &inside],
            &["mkfs", name, "out.ext4", "--force", "--no-sync"],
        ];
        for command in commands {
            let log = looked_at(&scratch, command);
            // A name is resolved to compare it with what there is leave for, which opens nothing.
            let harmless = |line: &&str| line.contains("execve(") || line.contains("readlink(");
            let opened: Vec<&str> = log
                .lines()
                .filter(|line| line.contains("secret-o") && !harmless(line))
                .collect();
            assert!(opened.is_empty(), "{command:?}: {opened:?}");
            // The image itself is opened as such and no more often than a command needs.
            let file = format!("\"{name}\"");
            let times = log.lines().filter(|line| {
                line.contains("open") && line.contains(&file) && !line.contains("ENOENT")
            });
            assert!(times.count() <= 4, "{command:?}\n{log}");
        }
    }
}

#[test]
fn what_names_itself_or_a_loop_is_an_error_also_with_leave() {
    need!("qemu-img");
    let scratch = Scratch::new();
    let image = images(&scratch).remove(3);
    let leave = |path: &Path| format!("--allow-backing={}", path.display());
    for command in ["info", "ls"] {
        let run = forger::forger().arg(command).arg(&image).arg(leave(&image));
        let output = run.limit(20).output();
        assert_eq!(output.status.code(), Some(1), "{output}");
        assert!(output.errors().contains("build on each other"), "{output}");
    }
    // A new image is not made over itself either.
    let run = forger::forger().args(["create", "--force", "--backing", "itself.qcow2"]);
    let output = run.arg(&image).output();
    assert_eq!(output.status.code(), Some(1), "{output}");
}
