//! A registry that speaks TLS with a private authority and asks who one is.

use std::fs;

use forger_tests::forger::forger;
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::registry::{PASSWORD, Registry, USER};
use forger_tests::scratch::Scratch;

use super::layout;

#[test]
fn who_is_known_pushes_and_pulls_and_nobody_else_does() {
    need!("docker-registry", "openssl", "skopeo");
    let scratch = Scratch::new();
    let registry = Registry::start_guarded(scratch.root());
    let image = layout(&scratch).named("1");
    let remote = format!("oci://{}", registry.reference("team/app:1"));
    let authority = scratch.path("ca.crt").display().to_string();
    let copy = |from: &str, to: &str, more: &[&str]| {
        let run = forger().args(["copy", "--tls", from, to]).args(more);
        run.env("DOCKER_CONFIG", scratch.path("docker"))
    };
    let auth = |name: &str, text: &str| scratch.file(name, text).display().to_string();
    let good = auth(
        "good.json",
        &format!(r#"{{"username":"{USER}","password":"{PASSWORD}"}}"#),
    );
    let bad = auth("bad.json", r#"{"username":"ann","password":"hunter2"}"#);
    let trusted = ["--ca-file", &authority];
    for (more, said) in [
        (&trusted[..], "forger login"),
        (&["--ca-file", &authority, "--auth-file", &bad], "wrong"),
        (&["--auth-file", &good], "--ca-file"),
    ] {
        let refused = copy(&image, &remote, more).output();
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        assert!(refused.errors().contains(said), "{said}: {refused}");
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
    copy(
        &image,
        &remote,
        &["--ca-file", &authority, "--auth-file", &good],
    )
    .ok();
    // The same name, kept by login.
    let run = forger().args([
        "login",
        registry.host(),
        "-u",
        USER,
        "--password-stdin",
        "--tls",
    ]);
    let run = run
        .args(trusted)
        .env("DOCKER_CONFIG", scratch.path("docker"));
    run.stdin(format!("{PASSWORD}\n")).ok();
    let back = format!("oci:{}:back", scratch.path("back").display());
    copy(&remote, &back, &trusted).ok();
    forger().args(["diff", &image, &back]).ok();
    // Others find what was pushed, and forger what they push.
    let certificates = scratch.path("certificates");
    fs::create_dir(&certificates).unwrap();
    fs::copy(&authority, certificates.join("ca.crt")).unwrap();
    let skopeo = |side: &str, from: &str, to: &str| {
        let run = Run::new("skopeo").args(["--insecure-policy", "copy", "-q"]);
        let run = run.arg(format!("--{side}-creds={USER}:{PASSWORD}"));
        let run = run.arg(format!("--{side}-cert-dir={}", certificates.display()));
        run.args([from, to]).ok();
    };
    let theirs = format!("oci:{}:theirs", scratch.path("theirs").display());
    let reference = |name: &str| format!("docker://{}", registry.reference(name));
    skopeo("src", &reference("team/app:1"), &theirs);
    forger().args(["diff", &image, &theirs]).ok();
    skopeo("dest", &theirs, &reference("theirs/app:1"));
    let again = format!("oci:{}:again", scratch.path("again").display());
    let pushed = format!("oci://{}", registry.reference("theirs/app:1"));
    copy(&pushed, &again, &trusted).ok();
    forger().args(["diff", &image, &again]).ok();
}
