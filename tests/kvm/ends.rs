//! Guests that end themselves: why is said, and at once.

use std::borrow::Cow;
use std::time::Instant;

use forger_vm::kvm::Kvm;
use forger_vm::{Cause, Error, Event, Guest, Options};

use super::*;

/// What comes of a guest without a sign of life takes longer than this.
const AT_ONCE: Duration = Duration::from_secs(90);

/// Asks the kernel to start anew, as `reboot -f` does.
const REBOOT: &str = "perl -e 'syscall(169, 0xfee1dead, 672274793, 0x01234567, 0)'; sleep 300";

/// Runs a script that ends its guest; returns why the guest ended, and the message.
fn cause(backend: &Kvm, root: &Root, script: &str) -> (Cause, String) {
    let guest = root.boot(backend);
    let start = Instant::now();
    let process = guest.run(&shell(script)).unwrap();
    let error = loop {
        match process.next() {
            Ok(Event::Exit(ended)) => panic!("{script}: {ended:?}"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(start.elapsed() < AT_ONCE, "{script}: {error}");
    let message = error.to_string();
    match error {
        Error::Lost { cause, .. } => (cause, message),
        other => panic!("{script}: {other:?}"),
    }
}

#[test]
fn a_kernel_that_panics_starts_anew_or_cannot_go_on_says_so_at_once() {
    let scratch = Scratch::new();
    let Some(backend) = kernels(&scratch).into_iter().next() else {
        return;
    };
    let Some(root) = Root::make() else { return };
    let (panicked, message) = cause(&backend, &root, "echo c > /proc/sysrq-trigger; sleep 300");
    assert_eq!(panicked, Cause::Panic);
    assert!(
        message.contains("the guest's kernel panicked before"),
        "{message}"
    );
    assert!(message.contains("sysrq triggered crash"), "{message}");
    let (reset, message) = cause(&backend, &root, "echo b > /proc/sysrq-trigger; sleep 300");
    assert_eq!(reset, Cause::Reset);
    assert!(message.contains("sysrq: Resetting"), "{message}");
    // Each way of x86's to start a machine anew.
    for (kind, expected) in [
        ("acpi", Cause::Reset),
        ("kbd", Cause::Reset),
        ("pci", Cause::Reset),
        ("bios", Cause::Reset),
        ("triple", Cause::TripleFault),
    ] {
        let script = format!("echo {kind} > /sys/kernel/reboot/type && {REBOOT}");
        let (found, message) = cause(&backend, &root, &script);
        assert_eq!(found, expected, "{kind}: {message}");
    }
}

#[test]
fn a_kernel_that_panics_before_its_first_program_says_so_at_once() {
    let scratch = Scratch::new();
    let Some(backend) = kernels(&scratch).into_iter().next() else {
        return;
    };
    let start = Instant::now();
    let options = Options {
        init: Cow::Borrowed(b"this is no program"),
        scratch: scratch.root().to_owned(),
        ..Options::default()
    };
    let error = Guest::boot(&backend, options).unwrap_err();
    assert!(start.elapsed() < AT_ONCE, "{error}");
    let Error::Lost { cause, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*cause, Cause::Panic, "{error}");
    assert!(error.to_string().contains("not syncing"), "{error}");
}
