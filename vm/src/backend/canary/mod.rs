//! Whether KVM works here: what a guest's own instructions say, in less than a tenth of a second.
//!
//! That there is a /dev/kvm says little: the kernel behind it may be one that interprets the guest's kernel
//! mode, 500 times slower than the processor, and stops at instructions that every kernel uses. All its
//! calls report success. So a guest is run, which counts down 20,000 times, takes an exception, and uses such
//! instructions, round by round; what it says, and how long the best round took, is the verdict. A processor that
//! does not come back is interrupted.
//!
//! The verdict is kept until the next boot in a folder that goes with the user's session, unless it would be another
//! one at another time.

#[cfg(target_arch = "x86_64")]
mod guest;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// What came of trying KVM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A guest's kernel would run as it should.
    Works,
    /// It would not, and why.
    Fails(String),
}

/// Says whether guests can run by a device, such as /dev/kvm; the verdict of this boot is read from a folder
/// of the user's own, such as `XDG_RUNTIME_DIR`, and kept there.
#[must_use]
pub fn verdict(device: &Path, folder: Option<&Path>) -> Verdict {
    // What the device's file allows can change at any time.
    let opened = OpenOptions::new().read(true).write(true).open(device);
    let opened = match opened.and_then(|file| file.metadata()) {
        Ok(metadata) => metadata,
        Err(error) => {
            let shown = device.display();
            return Verdict::Fails(format!("cannot open {shown}: {error}"));
        }
    };
    let key = key(&opened);
    let file = folder.map(|folder| folder.join("forger-kvm"));
    if let (Some(file), Some(key)) = (&file, &key)
        && let Some(known) = recall(file, key)
    {
        return known;
    }
    let (verdict, lasting) = run(device);
    if let (Some(file), Some(key), true) = (&file, &key, lasting) {
        // It is found out again next time where it cannot be kept.
        let _ = keep(file, key, &verdict);
    }
    verdict
}

/// Runs the guest; tells whether the verdict would be the same at another time, too.
#[cfg(target_arch = "x86_64")]
fn run(device: &Path) -> (Verdict, bool) {
    match guest::attempt(device) {
        Ok(()) => (Verdict::Works, true),
        Err(doubt) => (Verdict::Fails(doubt.reason), doubt.lasting),
    }
}

/// Nobody knows what to run.
#[cfg(not(target_arch = "x86_64"))]
fn run(_device: &Path) -> (Verdict, bool) {
    let reason = "forger can try KVM on x86-64 only";
    (Verdict::Fails(reason.to_owned()), true)
}

/// What a verdict is about: this boot, this device, this user, and this very test.
fn key(device: &fs::Metadata) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let (boot, number, inode) = (boot.trim(), device.rdev(), device.ino());
    let user = rustix::process::geteuid().as_raw();
    Some(format!("2 {boot} {number} {inode} {user}"))
}

/// What stands for a verdict that is good.
const WORKS: &str = "works";

/// The longest file that is one of verdicts, in bytes.
const MAX_LEN: u64 = 4096;

fn recall(file: &Path, key: &str) -> Option<Verdict> {
    let metadata = fs::symlink_metadata(file).ok()?;
    // Nobody else's word counts.
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    if !own || !metadata.is_file() || metadata.len() > MAX_LEN {
        return None;
    }
    let text = fs::read_to_string(file).ok()?;
    let (of, said) = text.split_once('\n')?;
    let said = said.trim_end();
    match (of == key, said) {
        (false, _) | (_, "") => None,
        (true, WORKS) => Some(Verdict::Works),
        (true, reason) => Some(Verdict::Fails(reason.to_owned())),
    }
}

/// Writes a verdict, whole or not at all.
fn keep(file: &Path, key: &str, verdict: &Verdict) -> std::io::Result<()> {
    let said = match verdict {
        Verdict::Works => WORKS,
        Verdict::Fails(reason) => reason,
    };
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let written = options
        .open(&name)
        .and_then(|mut new| new.write_all(format!("{key}\n{said}\n").as_bytes()))
        .and_then(|()| fs::rename(&name, file));
    if written.is_err() {
        // It may not be there.
        let _ = fs::remove_file(&name);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_kept_for_one_boot_device_and_user() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("forger-kvm");
        assert_eq!(recall(&file, "1 a"), None);
        for verdict in [Verdict::Works, Verdict::Fails("it is slow".to_owned())] {
            keep(&file, "1 a", &verdict).unwrap();
            assert_eq!(recall(&file, "1 a"), Some(verdict));
            assert_eq!(recall(&file, "1 b"), None);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(&file, "1 a").unwrap();
        assert_eq!(recall(&file, "1 a"), None);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        fs::write(&file, "1 a\nworks\n").unwrap();
        assert_eq!(recall(&link, "1 a"), None);
    }

    #[test]
    fn a_device_that_is_none_fails_with_its_name_and_is_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = folder.path().join("kvm");
        let found = verdict(&nothing, Some(folder.path()));
        assert!(matches!(&found, Verdict::Fails(why) if why.contains("cannot open")));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let found = verdict(Path::new("/dev/null"), Some(folder.path()));
        assert!(matches!(found, Verdict::Fails(_)), "{found:?}");
    }

    #[test]
    fn a_verdict_takes_less_than_a_tenth_of_a_second_whatever_it_is() {
        // On a machine that has other things to do as well, the best of a few.
        let once = || {
            let start = std::time::Instant::now();
            let _ = verdict(Path::new("/dev/kvm"), None);
            start.elapsed()
        };
        let best = (0..5).map(|_| once()).min().unwrap();
        assert!(best.as_millis() < 100, "{best:?}");
    }
}
