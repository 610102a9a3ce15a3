//! Container images, judged by umoci and skopeo.

mod destinations;
mod stacks;

use std::fs;
use std::path::Path;

use forger_tests::archive::{Archive, Member};
use forger_tests::forger::forger;
use forger_tests::images::{Layout, Packed, digits, umoci_unpack};
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::scratch::Scratch;
use forger_tests::walk::Listing;
use serde_json::{Value, json};

fn tar(members: &[Member]) -> Vec<u8> {
    let mut archive = Archive::new();
    archive.extend(members);
    archive.finish()
}

/// Layers with all that goes wrong elsewhere: each line of the module `layer` of the trees, and more.
fn stack() -> Vec<(Vec<u8>, Packed)> {
    let base = tar(&[
        Member::dir("./").mode(0o755),
        Member::dir("./etc"),
        Member::file("./etc/passwd", "root:x:0:0::/:/bin/sh\n"),
        Member::file("./etc/gone", "secret"),
        Member::dir("./usr/bin"),
        Member::file("./usr/bin/tool", "old tool")
            .mode(0o4755)
            .owner(3, 4),
        Member::hardlink("./usr/bin/alias", "./usr/bin/tool"),
        Member::symlink("./bin", "/usr/bin"),
        Member::symlink("./absolute", "/etc/passwd"),
        Member::dir("./opaque"),
        Member::file("./opaque/below", "hidden"),
        Member::dir("./opaque/deep"),
        Member::file("./opaque/deep/below", "hidden"),
        Member::dir("./target"),
        Member::file("./target/kept", "kept"),
        Member::symlink("./link", "target"),
        Member::dir("./replaced"),
        Member::file("./replaced/inside", "x"),
        Member::chardev("./null", 1, 3).mode(0o666),
        Member::fifo("./pipe").mode(0o600),
        Member::file("./cap", "x").xattr(
            "security.capability",
            b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ),
    ]);
    let second = tar(&[
        Member::dir("etc").mode(0o711).mtime(1_600_000_000, 0),
        Member::file("etc/.wh.gone", ""),
        // The tool's other name keeps the old content; its own gets new.
        Member::file("usr/bin/tool", "new tool"),
        Member::dir("opaque"),
        Member::file("opaque/new", "shown"),
        // Behind what it must not hide.
        Member::file("opaque/.wh..wh..opq", ""),
        Member::dir("link"),
        Member::file("link/.wh..wh..opq", ""),
        Member::file("link/new", "new"),
        Member::file("replaced", "a file now"),
        Member::file("missing/parents/are/made", "x"),
    ]);
    let third = tar(&[
        Member::hardlink("across", "usr/bin/alias"),
        Member::file("etc/.wh..wh..opqX", ""),
        Member::file(".wh.nothing", ""),
        Member::file("bin/through", "a symlink").mode(0o755),
        Member::file(".wh.pipe", ""),
    ]);
    let fourth = tar(&[Member::file("usr/bin/alias", "changed again")]);
    vec![
        (base, Packed::Gzip),
        (second, Packed::Zstd),
        (third, Packed::Plain),
        (fourth, Packed::Gzip),
    ]
}

fn layout(scratch: &Scratch) -> Layout {
    let mut layout = Layout::new(scratch.path("layout"));
    let config = json!({
        "Entrypoint": ["/bin/tool"], "Cmd": ["-v"], "Env": ["A=b"], "WorkingDir": "/etc", "User": "1:2",
        "Healthcheck": { "Test": ["CMD", "true"] },
    });
    let image = layout.image(&stack(), "amd64", config);
    layout.list(image, "app");
    layout
}

fn ok(args: &[&str]) -> String {
    forger().args(args).ok().text()
}

#[test]
fn flattened_image_equals_what_umoci_unpacks() {
    need!("umoci", "root", "e2fsck");
    let scratch = Scratch::new();
    let mut layout = layout(&scratch);
    // umoci of Debian 12 does not know zstd.
    let mut layers = stack();
    layers[1].1 = Packed::Gzip;
    let image = layout.image(&layers, "amd64", json!({}));
    layout.list(image, "gzip");
    let bundle = scratch.path("bundle");
    umoci_unpack(&layout.dir, "gzip", &bundle);
    let ours = scratch.path("ours");
    ok(&[
        "oci",
        "unpack",
        &layout.named("app"),
        &ours.display().to_string(),
    ]);
    // Of folders that nothing describes umoci takes the time of now.
    let implied = [
        "",
        "missing",
        "missing/parents",
        "missing/parents/are",
        "usr",
    ];
    Listing::of(&ours, &implied).assert_same(&Listing::of(&bundle.join("rootfs"), &implied));

    let image = scratch.path("image.ext4");
    ok(&[
        "mkfs",
        "-q",
        &layout.named("app"),
        &image.display().to_string(),
    ]);
    Run::new("e2fsck").arg("-fn").arg(&image).ok();
    ok(&["diff", &image.display().to_string(), &layout.named("app")]);
    // Nothing says the times of folders that are only implied.
    let (image, ours) = (image.display().to_string(), ours.display().to_string());
    ok(&["diff", "--ignore", "times", &image, &ours]);
}

#[test]
fn archives_of_skopeo_and_ours_hold_the_same_image() {
    need!("skopeo", "gzip");
    let scratch = Scratch::new();
    let mut layout = layout(&scratch);
    // Archives of docker's that Debian 12 knows have no zstd.
    let mut layers = stack();
    layers[1].1 = Packed::Gzip;
    let gzip = layout.image(&layers, "amd64", json!({ "Entrypoint": ["/bin/tool"] }));
    layout.list(gzip, "gzip");
    let image = |source: &str, name: &str| {
        let out = scratch.path(name);
        ok(&[
            "mkfs",
            "-q",
            "--no-sync",
            source,
            &out.display().to_string(),
        ]);
        fs::read(out).unwrap()
    };
    let expected = image(&layout.named("gzip"), "layout.ext4");
    let skopeo = |from: &str, to: &str| {
        Run::new("skopeo")
            .args(["--insecure-policy", "copy", "-q", from, to])
            .ok();
    };
    for (kind, tag) in [("docker-archive", ":team/app:1"), ("oci-archive", ":gzip")] {
        let file = scratch.path(kind).display().to_string();
        skopeo(&layout.named("gzip"), &format!("{kind}:{file}{tag}"));
        assert!(
            image(&format!("{kind}:{file}"), "1.ext4") == expected,
            "{kind}"
        );
        fs::remove_file(scratch.path("1.ext4")).unwrap();
        assert!(
            image(&format!("{kind}:{file}{tag}"), "2.ext4") == expected,
            "{kind}"
        );
        fs::remove_file(scratch.path("2.ext4")).unwrap();
        // Compressed as a whole, too.
        Run::new("gzip").arg(&file).ok();
        assert!(
            image(&format!("{kind}:{file}.gz"), "3.ext4") == expected,
            "{kind}"
        );
        fs::remove_file(scratch.path("3.ext4")).unwrap();
    }
    // What forger makes, skopeo takes.
    let flat = format!("oci:{}:flat", scratch.path("flat").display());
    ok(&["oci", "flatten", &layout.named("gzip"), &flat]);
    let file = scratch.path("flat.tar").display().to_string();
    skopeo(&flat, &format!("docker-archive:{file}:flat:1"));
    ok(&[
        "diff",
        &layout.named("gzip"),
        &format!("docker-archive:{file}"),
    ]);
    let inspected = Run::new("skopeo")
        .args(["inspect", "--config", &flat])
        .ok()
        .text();
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected["config"]["Entrypoint"], json!(["/bin/tool"]));
}

#[test]
fn every_blob_is_verified_and_nothing_is_left_of_a_damaged_image() {
    let scratch = Scratch::new();
    let layout = layout(&scratch);
    let inspected: Value = serde_json::from_str(&ok(&[
        "oci",
        "inspect",
        "--output",
        "json",
        &layout.named("app"),
    ]))
    .unwrap();
    let mut blobs: Vec<String> = inspected["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(digits)
        .collect();
    blobs.push(digits(&inspected));
    for blob in blobs {
        let path = layout.path(&blob);
        let good = fs::read(&path).unwrap();
        let mut longer = good.clone();
        longer.push(0);
        let mut flipped = good.clone();
        // The last bytes of a layer are of no consequence but for its digest.
        *flipped.last_mut().unwrap() ^= 1;
        for bad in [&good[..good.len() - 1], &longer, &flipped] {
            fs::write(&path, bad).unwrap();
            let out = scratch.path("out.ext4");
            let output = forger()
                .args(["mkfs", &layout.named("app")])
                .arg(&out)
                .output();
            assert_eq!(output.status.code(), Some(1), "{output}");
            assert!(!out.exists());
        }
        fs::write(&path, good).unwrap();
    }
    ok(&["mkfs", "--dry-run", &layout.named("app")]);
}

#[test]
fn wrong_diff_id_is_refused() {
    let scratch = Scratch::new();
    let mut layout = layout(&scratch);
    let image = layout.image(&stack(), "amd64", json!({}));
    let text = fs::read_to_string(layout.path(&digits(&image))).unwrap();
    let mut manifest: Value = serde_json::from_str(&text).unwrap();
    let config = fs::read_to_string(layout.path(&digits(&manifest["config"]))).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["rootfs"]["diff_ids"][3] = config["rootfs"]["diff_ids"][0].clone();
    manifest["config"] = layout.blob(
        "application/vnd.oci.image.config.v1+json",
        config.to_string().as_bytes(),
    );
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let bad = layout.blob(kind, manifest.to_string().as_bytes());
    layout.list(bad, "bad");
    let output = forger()
        .args(["mkfs", "--dry-run", &layout.named("bad")])
        .output();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.errors().contains("diff_id"), "{output}");
}

#[test]
fn platform_is_chosen_also_in_nested_indexes() {
    let scratch = Scratch::new();
    let mut layout = Layout::new(scratch.path("layout"));
    let make = |layout: &Layout, arch: &str| {
        let tar = tar(&[Member::file("arch", arch)]);
        layout.image(&[(tar, Packed::Plain)], arch, json!({}))
    };
    let [amd64, arm64, riscv] = ["amd64", "arm64", "riscv64"].map(|arch| make(&layout, arch));
    let inner = layout.nested(&[arm64, riscv.clone()]);
    let outer = layout.nested(&[amd64, inner]);
    layout.list(outer, "many");
    for arch in ["amd64", "arm64", "riscv64"] {
        let out = scratch.path(arch);
        let platform = format!("linux/{arch}");
        ok(&[
            "oci",
            "unpack",
            "--platform",
            &platform,
            &layout.named("many"),
            &out.display().to_string(),
        ]);
        assert_eq!(fs::read_to_string(out.join("arch")).unwrap(), arch);
    }
    let output = forger()
        .args([
            "oci",
            "digest",
            "--platform",
            "linux/s390x",
            &layout.named("many"),
        ])
        .output();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.errors().contains("linux/riscv64"), "{output}");
    let digest = format!("oci:{}@sha256:{}", layout.dir.display(), digits(&riscv));
    assert_eq!(
        ok(&["oci", "digest", &digest]).trim(),
        format!("sha256:{}", digits(&riscv))
    );
    assert_eq!(
        ok(&["oci", "ls", &format!("oci:{}", layout.dir.display())])
            .lines()
            .count(),
        4
    );
}

#[test]
fn what_an_ordinary_user_unpacks_is_packed_as_it_was() {
    need!("root", "setpriv", "gzip", "getfattr");
    let scratch = Scratch::new();
    let layout = layout(&scratch);
    let open = scratch.path("open");
    fs::create_dir(&open).unwrap();
    for folder in [scratch.root(), &open, &layout.dir] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(folder, mode).unwrap();
    }
    let user = |args: &[&str]| {
        let run = Run::new("setpriv").args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--bounding-set=-all",
        ]);
        run.arg(forger_tests::forger::binary()).args(args).ok();
    };
    let rootfs = open.join("rootfs").display().to_string();
    let packed = format!("oci:{}:packed", open.join("layout").display());
    user(&["oci", "unpack", "--strict", &layout.named("app"), &rootfs]);
    user(&["oci", "pack", &rootfs, &packed]);
    ok(&["diff", &layout.named("app"), &packed]);
    // umoci finds the owners where it looks for them.
    let value = Run::new("getfattr").args(["--only-values", "-n", "user.rootlesscontainers"]);
    let value = value.arg(Path::new(&rootfs).join("across")).ok();
    assert_eq!(value.stdout, [8, 3, 16, 4]);
}

#[test]
fn layer_that_was_made_by_diff_gives_the_second_image_on_the_first() {
    let scratch = Scratch::new();
    let mut layout = layout(&scratch);
    let old = layout.image(&stack()[..1], "amd64", json!({}));
    layout.list(old, "old");
    let layer = scratch.path("layer.tar").display().to_string();
    ok(&[
        "oci",
        "diff",
        &layout.named("old"),
        &layout.named("app"),
        "-o",
        &layer,
    ]);
    ok(&[
        "oci",
        "append",
        &layout.named("old"),
        &layer,
        "--to",
        &layout.named("new"),
    ]);
    ok(&[
        "diff",
        "--ignore",
        "links",
        &layout.named("app"),
        &layout.named("new"),
    ]);
    ok(&["diff", &layout.named("app"), &layout.named("new")]);
    let again = scratch.path("again.tar").display().to_string();
    ok(&[
        "oci",
        "diff",
        &layout.named("app"),
        &layout.named("new"),
        "-o",
        &again,
    ]);
    assert_eq!(fs::read(&again).unwrap(), [0; 1024], "nothing differs");
}

#[test]
fn images_are_changed_in_place_and_removed() {
    let scratch = Scratch::new();
    let layout = layout(&scratch);
    let name = layout.named("app");
    let mutated = ok(&[
        "oci",
        "mutate",
        &name,
        "--env",
        "A=c",
        "--env",
        "B=d",
        "--cmd",
        "",
        "--label",
        "l=m",
        "--annotation",
        "x=y",
    ]);
    assert_eq!(ok(&["oci", "digest", &name]), mutated);
    let config: Value = serde_json::from_str(&ok(&["oci", "inspect", "--config", &name])).unwrap();
    assert_eq!(config["config"]["Env"], json!(["A=c", "B=d"]));
    assert_eq!(config["config"]["Cmd"], Value::Null);
    assert_eq!(config["config"]["Labels"], json!({ "l": "m" }));
    assert_eq!(
        config["config"]["Healthcheck"]["Test"][0], "CMD",
        "what is not known stays"
    );
    let manifest: Value = serde_json::from_str(&ok(&["oci", "inspect", "--raw", &name])).unwrap();
    assert_eq!(manifest["annotations"], json!({ "x": "y" }));
    // Equal input, equal bytes.
    let [one, two] = ["one", "two"].map(|to| ok(&["oci", "flatten", &name, &layout.named(to)]));
    assert_eq!(one, two);
    for name in ["one", "two", "app"] {
        ok(&["oci", "rm", &layout.named(name)]);
    }
    assert_eq!(
        fs::read_dir(layout.dir.join("blobs/sha256"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn bundle_says_how_the_image_is_run_and_the_init_does_it() {
    let scratch = Scratch::new();
    let mut layout = layout(&scratch);
    let out = scratch.path("bundle.tar.zst").display().to_string();
    let args = [
        "make-bundle",
        "-q",
        "--name",
        "app",
        "--arch",
        "x86_64",
        "--image-config",
        "--out",
        &out,
    ];
    ok(&[&args[..], &[&layout.named("app")]].concat());
    let shown: Value =
        serde_json::from_str(&ok(&["bundle", "show", "--output", "json", &out])).unwrap();
    let config = json!({
        "entrypoint": ["/bin/tool"], "cmd": ["-v"], "env": ["A=b"], "working_dir": "/etc", "user": "1:2",
    });
    assert_eq!(shown["config"], config);
    // There is no shell that could run the script.
    let image = scratch.path("image.ext4").display().to_string();
    let output = forger()
        .args(["mkfs", "--init-from-config", &layout.named("app"), &image])
        .output();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.errors().contains("/bin/sh"), "{output}");
    let shell = tar(&[Member::file("bin/sh", "x").mode(0o755)]);
    let made = layout.image(&[(shell, Packed::Plain)], "amd64", config_of_shell());
    layout.list(made, "shell");
    ok(&[
        "mkfs",
        "-q",
        "--init-from-config",
        &layout.named("shell"),
        &image,
    ]);
    let script = ok(&["cat", &format!("{image}:/sbin/forger-init")]);
    Run::new("sh").args(["-n"]).stdin(script.clone()).ok();
    assert!(script.contains("export A='it'\\''s'"), "{script}");
}

fn config_of_shell() -> Value {
    json!({ "Cmd": ["/bin/sh"], "Env": ["A=it's"], "User": "app" })
}
