//! A disk of 1 GB into a registry of this machine and out of it, against skopeo, which takes the same bytes
//! for the layer of an image.

use std::fs;

use forger_tests::process::Run;
use forger_tests::registry::{Registry, layout};
use forger_tests::scratch::Scratch;

use super::Bench;
use super::measure::{self, Contestant};
use super::report::Report;
use crate::Outcome;

/// The disk's length in bytes.
const LENGTH: usize = 1_000_000_000;

impl Bench {
    /// Pushes and pulls; what was made durable by forger is made so by a sync for skopeo.
    pub(super) fn registry(&self, report: &mut Report) -> Outcome {
        let scratch = Scratch::new();
        let registry = Registry::start(scratch.root());
        let mut bytes = noise(1);
        // What tells a qcow2, so that it is taken for a disk.
        bytes.splice(..4, *b"QFI\xfb");
        let disk = scratch.file("disk.qcow2", &bytes);
        let made = layout(&scratch, "layout", &[bytes]);
        let host = registry.host().to_owned();
        let output = self.out("pulled");
        let script = |name: &'static str, script: &'static str| {
            let (forger, host) = (self.forger.clone(), host.clone());
            let (made, disk) = (made.clone(), disk.clone());
            let (output, dir) = (output.clone(), self.dir.clone());
            Contestant {
                name,
                output: output.clone(),
                run: Box::new(move || {
                    // The peer makes a folder, which is no output that a race removes.
                    let _ = fs::remove_dir_all(&output);
                    Run::new("bash")
                        .args(["-euc", script])
                        .env("F", &forger)
                        .env("H", &host)
                        .env("L", &made)
                        .env("D", &disk)
                        .env("O", &output)
                        .dir(&dir)
                        .limit(1800)
                }),
            }
        };
        // Without --preserve-digests skopeo would compress what is not compressed.
        let push = vec![
            script(
                "forger push",
                "\"$F\" push -q \"oci:$L:1\" \"$H/push$RANDOM$RANDOM:1\" >&2",
            ),
            script(
                "skopeo copy",
                // Without what it remembers of earlier rounds, with which it would mount and not push.
                "rm -f /var/lib/containers/cache/blob-info-cache-v1.*; \
                 skopeo --insecure-policy copy -q --preserve-digests --dest-tls-verify=false \"oci:$L:1\" \
                 \"docker://$H/push$RANDOM$RANDOM:1\"",
            ),
            script(
                "forger push, of a disk image",
                "\"$F\" push -q \"$D\" \"$H/push$RANDOM$RANDOM:1\" >&2",
            ),
        ];
        report.race(self.race("push, 1 GB", Some(1.0), push))?;
        let reference = format!("{host}/disk:1");
        let run = || {
            Run::new(&self.forger)
                .arg("push")
                .arg(&made)
                .arg(&reference)
                .limit(600)
        };
        report.memory("push, 1 GB (goal: 67)", measure::peak_memory(run())?);
        let artifact = format!("{host}/artifact:1");
        let run = Run::new(&self.forger).arg("push").arg(&disk).arg(&artifact);
        report.memory(
            "push of a disk image, 1 GB (goal: 67)",
            measure::peak_memory(run.limit(600))?,
        );
        let pull = vec![
            script(
                "forger pull",
                "\"$F\" pull -q \"$H/disk:1\" \"oci:$O:1\" >&2",
            ),
            script(
                "skopeo copy, sync",
                "skopeo --insecure-policy copy -q --preserve-digests --src-tls-verify=false \"docker://$H/disk:1\" \
                 \"oci:$O:1\"; sync -f \"$O\"",
            ),
            script(
                "forger pull, of a disk image",
                "\"$F\" pull -q \"$H/artifact:1\" \"$O.qcow2\" >&2; rm \"$O.qcow2\"",
            ),
        ];
        report.race(self.race("pull, 1 GB", Some(1.0), pull))?;
        for (name, reference) in [
            ("pull, 1 GB (goal: 67)", &reference),
            ("pull of a disk image, 1 GB (goal: 67)", &artifact),
        ] {
            let _ = fs::remove_dir_all(&output);
            let _ = fs::remove_file(&output);
            let run = Run::new(&self.forger).args(["pull", "-q", reference]);
            report.memory(name, measure::peak_memory(run.arg(&output).limit(600))?);
        }
        let _ = fs::remove_file(&output);
        let _ = fs::remove_dir_all(&output);
        Ok(())
    }
}

/// Bytes that do not compress.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next)
        .flatten()
        .take(LENGTH)
        .collect()
}
