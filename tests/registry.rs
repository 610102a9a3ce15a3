//! Registries: artifacts, images, tags and users, judged by Debian's registry and skopeo.

mod guarded;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use forger_tests::archive::{Archive, Member};
use forger_tests::forger::forger;
use forger_tests::images::{Layout, Packed};
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::registry::{Registry, sha256};
use forger_tests::scratch::Scratch;

/// Bytes that do not compress, from a seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next)
        .flatten()
        .take(length)
        .collect()
}

/// Asks skopeo, which speaks plain HTTP here, for the manifest of an image as it is.
fn raw_manifest(reference: &str) -> Vec<u8> {
    let run = Run::new("skopeo").args(["inspect", "--raw", "--tls-verify=false"]);
    run.arg(format!("docker://{reference}")).ok().stdout
}

fn skopeo_copy(from: &str, to: &str) {
    let run = Run::new("skopeo").args(["copy", "--insecure-policy", "--all", "--preserve-digests"]);
    let run = run.args(["--src-tls-verify=false", "--dest-tls-verify=false"]);
    run.args([from, to]).limit(120).ok();
}

/// Makes a layout with one image, named 1, of two layers: the second hides a file and adds a large one.
fn layout(scratch: &Scratch) -> Layout {
    let tar = |members: &[Member]| {
        let mut archive = Archive::new();
        archive.extend(members);
        archive.finish()
    };
    let lower = tar(&[
        Member::dir("./").mode(0o755),
        Member::dir("./etc"),
        Member::file("./etc/gone", "secret"),
        Member::file("./etc/kept", noise(4, 200_000)).owner(3, 4),
    ]);
    let upper = tar(&[
        Member::file("etc/.wh.gone", ""),
        Member::file("large", noise(5, 5_000_000)),
    ]);
    let mut layout = Layout::new(scratch.path("layout"));
    let layers = [(lower, Packed::Gzip), (upper, Packed::Plain)];
    let config = serde_json::json!({ "Entrypoint": ["/bin/true"] });
    let architecture = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    let image = layout.image(&layers, architecture, config);
    layout.list(image, "1");
    layout
}

fn json(run: Run) -> Value {
    serde_json::from_slice(&run.args(["--output", "json"]).ok().stdout).unwrap()
}

#[test]
fn a_disk_image_comes_back_as_it_went_and_others_can_read_what_it_is() {
    need!("docker-registry", "skopeo");
    let scratch = Scratch::new();
    let registry = Registry::start(scratch.root());
    let reference = registry.reference("team/vm:12");
    let bytes = [&b"QFI\xfb\0\0\0\x03"[..], &noise(1, 300_000), &[0; 200_000]].concat();
    let disk = scratch.file("debian.qcow2", &bytes);
    let pushed = json(
        forger()
            .args([
                "push",
                "--artifact",
                "--description",
                "a test",
                "--arch",
                "x86_64",
                "--image",
            ])
            .arg(&disk)
            .args(["--reference", &reference]),
    );
    let manifest = raw_manifest(&reference);
    assert_eq!(pushed["digest"], format!("sha256:{}", sha256(&manifest)));
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.cloudnebula.qcow2.config.v1+json"
    );
    let layer = &manifest["layers"][0];
    assert_eq!(
        layer["mediaType"],
        "application/vnd.cloudnebula.qcow2.layer.v1"
    );
    assert_eq!(
        layer["annotations"]["org.opencontainers.image.title"],
        "debian.qcow2"
    );
    assert_eq!(layer["digest"], format!("sha256:{}", sha256(&bytes)));

    let out = scratch.path("out.qcow2");
    forger().args(["pull", &reference]).arg(&out).ok();
    assert_eq!(fs::read(&out).unwrap(), bytes);
    // Into a folder it comes under its own name, and replaces nothing unasked.
    let folder = scratch.path("folder");
    fs::create_dir(&folder).unwrap();
    let pull = || forger().args(["pull", "-r", &reference, "-o"]).arg(&folder);
    pull().ok();
    assert_eq!(fs::read(folder.join("debian.qcow2")).unwrap(), bytes);
    assert_eq!(pull().output().status.code(), Some(1));
    pull().arg("--force").ok();
}

#[test]
fn what_is_damaged_in_the_registry_does_not_appear() {
    need!("docker-registry");
    let scratch = Scratch::new();
    let registry = Registry::start(scratch.root());
    let reference = registry.reference("vm:1");
    let bytes = [&b"QFI\xfb"[..], &noise(2, 100_000)].concat();
    let disk = scratch.file("vm.qcow2", &bytes);
    forger().arg("push").arg(&disk).arg(&reference).ok();
    let digest = sha256(&bytes);
    let blob = scratch.path("registry/docker/registry/v2/blobs/sha256");
    let blob = blob.join(&digest[..2]).join(&digest).join("data");
    fs::write(blob, noise(3, bytes.len())).unwrap();
    let out = scratch.path("out");
    fs::create_dir(&out).unwrap();
    let pulled = forger().args(["pull", &reference]).arg(&out).output();
    assert_eq!(pulled.status.code(), Some(1));
    assert!(
        pulled.errors().contains("is damaged or was exchanged"),
        "{pulled}"
    );
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
}

#[test]
fn webassembly_goes_as_what_it_is() {
    need!("docker-registry", "skopeo");
    let scratch = Scratch::new();
    let registry = Registry::start(scratch.root());
    let component = scratch.file("app.wasm", b"\0asm\x0d\0\x01\0component");
    let reference = registry.reference("app:1");
    forger().arg("push").arg(&component).arg(&reference).ok();
    let manifest: Value = serde_json::from_slice(&raw_manifest(&reference)).unwrap();
    assert_eq!(
        manifest["artifactType"],
        "application/vnd.wasm.component.v1+wasm"
    );
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.wasm.config.v0+json"
    );
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    forger()
        .args(["pull", &reference])
        .dir(scratch.root())
        .arg("back.wasm")
        .ok();
    assert_eq!(
        fs::read(scratch.path("back.wasm")).unwrap(),
        b"\0asm\x0d\0\x01\0component"
    );
}

#[test]
fn a_copy_within_a_registry_is_a_mount_and_keeps_the_digest() {
    need!("docker-registry", "skopeo");
    let scratch = Scratch::new();
    let registry = Registry::start(scratch.root());
    let (one, two) = (
        registry.reference("one:1"),
        registry.reference("team/two:x"),
    );
    let disk = scratch.file("vm.qcow2", [&b"QFI\xfb"[..], &noise(6, 400_000)].concat());
    // Chunks of any length make the same blobs.
    let push = forger().arg("push").arg(&disk).arg(&one);
    let first = json(push.args(["--chunk-size", "100K"]));
    let second = json(forger().args(["copy", &one, &two]));
    assert_eq!(first["digest"], second["digest"]);
    // The disk was mounted: only documents were read.
    assert!(second["size"].as_u64().unwrap() < 10_000, "{second}");
    assert_eq!(raw_manifest(&one), raw_manifest(&two));
}

#[test]
fn tags_are_listed_as_skopeo_lists_them() {
    need!("docker-registry", "skopeo");
    let scratch = Scratch::new();
    let registry = Registry::start(scratch.root());
    let disk = scratch.file("vm.qcow2", b"QFI\xfb and more");
    for tag in ["1", "1.2", "latest"] {
        let reference = registry.reference(&format!("app:{tag}"));
        forger().arg("push").arg(&disk).arg(reference).ok();
    }
    let name = registry.reference("app");
    let tags = json(forger().args(["oci", "tags", &name]));
    let run = Run::new("skopeo").args(["list-tags", "--tls-verify=false"]);
    let theirs: Value =
        serde_json::from_slice(&run.arg(format!("docker://{name}")).ok().stdout).unwrap();
    assert_eq!(tags["tags"], theirs["Tags"]);
    // The order is the registry's.
    let text = forger().args(["oci", "tags", &name]).ok().text();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["1", "1.2", "latest"]);
    let missing = forger()
        .args(["oci", "tags", &registry.reference("none")])
        .output();
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn who_logs_in_is_kept_in_a_private_file_or_by_a_helper() {
    need!("docker-registry");
    let scratch = Scratch::new();
    let registry = Registry::start(scratch.root());
    let file = scratch.path("docker/config.json");
    let log_in = |run: Run| {
        let run = run.args(["login", registry.host(), "-u", "ann", "--password-stdin"]);
        run.env("DOCKER_CONFIG", scratch.path("docker"))
            .stdin("s:cret\n")
    };
    let said = log_in(forger()).ok();
    assert!(!said.text().contains("s:cret"));
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let kept: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(kept["auths"][registry.host()]["auth"], "YW5uOnM6Y3JldA==");
    let log_out = || {
        let run = forger().args(["logout", registry.host()]);
        run.env("DOCKER_CONFIG", scratch.path("docker"))
    };
    log_out().ok();
    assert!(!fs::read_to_string(&file).unwrap().contains("YW5u"));
    assert_eq!(log_out().output().status.code(), Some(1));

    let helper = scratch.file(
        "docker-credential-test",
        "#!/bin/sh\necho \"$1\" >> \"$LOG\"\ncat >> \"$LOG\"\necho >> \"$LOG\"\n",
    );
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&file, r#"{"credsStore":"test"}"#).unwrap();
    let path = format!("{}:/usr/bin:/bin", scratch.root().display());
    let log = scratch.path("log");
    let helped = |run: Run| run.env("PATH", &path).env("LOG", &log);
    helped(log_in(forger())).ok();
    helped(log_out()).ok();
    let said = fs::read_to_string(&log).unwrap();
    let store = format!(
        r#"{{"Secret":"s:cret","ServerURL":"{}","Username":"ann"}}"#,
        registry.host()
    );
    assert_eq!(
        said,
        format!("store\n{store}\nerase\n{}\n", registry.host())
    );
    assert!(!fs::read_to_string(&file).unwrap().contains("cret"));
}

#[test]
fn a_command_that_is_stopped_leaves_nothing() {
    need!("docker-registry");
    let scratch = Scratch::new();
    // A server that takes the connection and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let out = scratch.path("out");
    fs::create_dir(&out).unwrap();
    let run = forger()
        .args(["pull", &format!("{host}/vm:1")])
        .dir(&out)
        .limit(60);
    let running = run.start().unwrap();
    let (_connection, _) = listener.accept().unwrap();
    running.signal(rustix::process::Signal::INT);
    let output = running.finish().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
}

#[test]
fn plain_http_to_another_machine_has_to_be_asked_for() {
    let scratch = Scratch::new();
    let proxy = |run: Run| {
        run.env("NO_PROXY", "")
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
    };
    let tags = |args: &[&str]| {
        proxy(forger().args(["oci", "tags", "--retries", "0", "localhost.example.com/app"]))
            .args(args)
    };
    let refused = tags(&[]).dir(scratch.root()).output();
    // It goes to the proxy for HTTPS, where nobody is: never in plain words to a host that begins like this one.
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(
        refused.errors().contains("https://localhost.example.com"),
        "{refused}"
    );
    let usage = tags(&["--plain-http", "--tls"]).output();
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn an_ordinary_user_pulls_with_an_empty_environment() {
    need!("docker-registry", "setpriv");
    if !forger_tests::tools::present(&["root"]) {
        return;
    }
    let scratch = Scratch::new();
    let registry = Registry::start(scratch.root());
    let reference = registry.reference("vm:1");
    let disk = scratch.file("vm.qcow2", b"QFI\xfb and more");
    forger().arg("push").arg(&disk).arg(&reference).ok();
    let home = scratch.path("home");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(65534), Some(65534)).unwrap();
    let binary = scratch.path("forger");
    fs::copy(forger_tests::forger::binary(), &binary).unwrap();
    let run = Run::new("setpriv").args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--bounding-set=-all",
        "--",
    ]);
    let run = run
        .arg(&binary)
        .args(["pull", &reference])
        .env_clear()
        .dir(&home);
    run.ok();
    assert_eq!(
        fs::read(Path::new(&home).join("vm.qcow2")).unwrap(),
        b"QFI\xfb and more"
    );
}

#[test]
fn images_pass_between_forger_and_skopeo_unchanged() {
    need!("docker-registry", "skopeo");
    let scratch = Scratch::new();
    let registry = Registry::start(scratch.root());
    let (ours, theirs) = (registry.reference("ours:1"), registry.reference("theirs:1"));
    let made = layout(&scratch);
    forger().arg("push").arg(&made.dir).arg(&ours).ok();
    skopeo_copy(&made.named("1"), &format!("docker://{theirs}"));
    let manifest = raw_manifest(&ours);
    assert_eq!(manifest, raw_manifest(&theirs));
    // Chunks of any length make the same blobs.
    let chunked = registry.reference("chunked:1");
    let push = forger().args(["push", &made.named("1"), &chunked]);
    push.args(["--chunk-size", "1M"]).ok();
    // What either of them pushed, the other pulls.
    let (back, again) = (scratch.path("back"), scratch.path("again"));
    forger().args(["pull", &theirs]).arg(&back).ok();
    skopeo_copy(
        &format!("docker://{chunked}"),
        &format!("oci:{}:1", again.display()),
    );
    for blob in fs::read_dir(made.dir.join("blobs/sha256")).unwrap() {
        let name = blob.unwrap().file_name();
        for folder in [&back, &again] {
            let copy = fs::read(folder.join("blobs/sha256").join(&name)).unwrap();
            assert_eq!(sha256(&copy), name.to_str().unwrap());
        }
    }
    let last = registry.reference("last:1");
    skopeo_copy(
        &format!("oci:{}:1", back.display()),
        &format!("docker://{last}"),
    );
    assert_eq!(raw_manifest(&last), manifest);
}

#[test]
fn a_copy_within_a_registry_and_out_of_it_keeps_the_digest() {
    need!("docker-registry", "skopeo");
    let scratch = Scratch::new();
    let registry = Registry::start(scratch.root());
    let (one, two) = (
        registry.reference("one:1"),
        registry.reference("team/two:x"),
    );
    let made = layout(&scratch);
    let copy = |from: &str, to: &str| json(forger().args(["copy", from, to]));
    let first = copy(&made.named("1"), &one);
    let second = copy(&one, &two);
    assert_eq!(first["digest"], second["digest"]);
    // The layers were mounted: only documents were read.
    assert!(second["size"].as_u64().unwrap() < 10_000, "{second}");
    assert_eq!(raw_manifest(&one), raw_manifest(&two));
    let archive = format!("oci-archive:{}", scratch.path("image.tar").display());
    copy(&two, &archive);
    let back = registry.reference("back:1");
    skopeo_copy(&archive, &format!("docker://{back}"));
    assert_eq!(raw_manifest(&back), raw_manifest(&one));
    let docker = format!("docker-archive:{}", scratch.path("docker.tar").display());
    forger().args(["pull", &two, &docker]).ok();
    let run = Run::new("skopeo").args(["inspect", "--config"]);
    let config = run.arg(&docker).ok().text();
    assert!(config.contains("/bin/true"), "{config}");
    // A tar goes the other way, too, and is replaced only if that is wished.
    let pushed = registry.reference("pushed:1");
    forger()
        .arg("push")
        .arg(scratch.path("image.tar"))
        .arg(&pushed)
        .ok();
    assert_eq!(raw_manifest(&pushed), raw_manifest(&one));
    let refused = forger().args(["copy", &two, &archive]).output();
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    forger().args(["copy", &two, &archive, "--force"]).ok();
}

#[test]
fn filesystems_are_made_of_images_in_a_registry_as_of_those_in_a_layout() {
    need!("docker-registry");
    let scratch = Scratch::new();
    let registry = Registry::start(scratch.root());
    let made = layout(&scratch);
    let remote = format!("oci://{}", registry.reference("app:1"));
    forger().args(["copy", &made.named("1"), &remote]).ok();
    let make = |source: &str, name: &str| {
        let out = scratch.path(name);
        forger().args(["mkfs", source]).arg(&out).ok();
        fs::read(out).unwrap()
    };
    assert!(make(&remote, "remote.ext4") == make(&made.named("1"), "local.ext4"));
    // They are the same for forger diff, and what the second layer hides is not there.
    let image = scratch.path("remote.ext4");
    forger().args(["diff", &remote]).arg(&image).ok();
    let named = |path: &str| format!("{}:{path}", image.display());
    forger().args(["stat", &named("/etc/kept")]).ok();
    let gone = forger().args(["stat", &named("/etc/gone")]).output();
    assert_eq!(gone.status.code(), Some(1));
    // A bundle takes the configuration along.
    let bundle = scratch.path("bundles");
    fs::create_dir(&bundle).unwrap();
    let run = forger().args(["make-bundle", &remote, "--name", "app", "--arch", "x86_64"]);
    run.arg("--image-config").arg("--out").arg(&bundle).ok();
    assert_eq!(fs::read_dir(&bundle).unwrap().count(), 1);
    let shown = json(forger().args(["oci", "inspect", &remote]));
    let digest = forger().args(["oci", "digest", &made.named("1")]);
    assert_eq!(shown["digest"], digest.ok().text().trim());
    let missing = forger().args(["mkfs", &format!("{remote}none")]);
    let missing = missing.arg(scratch.path("none.ext4")).output();
    assert_eq!(missing.status.code(), Some(1), "{missing}");
    assert!(!scratch.path("none.ext4").exists());
}
