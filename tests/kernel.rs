//! Kernels of guests: where they come from, what is kept, which one is taken.

use std::fs;
use std::path::Path;

use serde_json::Value;

use forger_tests::archive::{Archive, Member};
use forger_tests::forger::forger;
use forger_tests::process::{Output, Run};
use forger_tests::registry::{Registry, sha256};
use forger_tests::scratch::Scratch;
use forger_tests::{need, packages, rootfs, tools};

/// Prepares forger with a store of its own.
fn with_store(scratch: &Scratch) -> Run {
    forger()
        .env("FORGER_STORE", scratch.path("store"))
        .env("FORGER_CATALOG", scratch.path("no-catalog"))
}

fn kernel(scratch: &Scratch, args: &[&str]) -> Output {
    with_store(scratch).arg("kernel").args(args).output()
}

/// Returns what a command that should succeed printed as JSON, an object a line.
fn objects(scratch: &Scratch, args: &[&str]) -> Vec<Value> {
    let output = kernel(scratch, &[args, &["--output", "json"]].concat());
    assert!(output.status.success(), "{output}");
    let text = output.text();
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

/// A bzImage that says its release, and nothing else.
fn bzimage(release: &str) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    bytes[0x20e..0x210].copy_from_slice(&0x300_u16.to_le_bytes());
    bytes[0x500..0x500 + release.len()].copy_from_slice(release.as_bytes());
    bytes
}

/// A root filesystem with a kernel and a module, as depmod leaves it.
fn system(scratch: &Scratch, release: &str) -> std::path::PathBuf {
    let folder = format!("usr/lib/modules/{release}");
    let mut archive = Archive::new();
    archive.extend(&[
        Member::dir("etc"),
        Member::file(format!("boot/vmlinuz-{release}"), bzimage(release)),
        Member::file(format!("{folder}/kernel/fs/a.ko"), "module a"),
        Member::file(format!("{folder}/kernel/fs/b.ko"), "module b"),
        Member::file(
            format!("{folder}/modules.dep"),
            "kernel/fs/a.ko: kernel/fs/b.ko\nkernel/fs/b.ko:\n",
        ),
    ]);
    scratch.file(&format!("{release}.tar"), archive.finish())
}

#[test]
fn debians_metapackage_names_the_package_that_is_kept_with_its_modules() {
    let Some(meta) = packages::package("linux-image-cloud-amd64") else {
        return;
    };
    let scratch = Scratch::new();
    let refused = kernel(&scratch, &["add", meta.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    let errors = refused.errors();
    // The command that helps, as it can be typed.
    let command = errors.split("apt-get download ").nth(1).expect(&errors);
    let name = command.split_whitespace().next().unwrap();
    assert!(
        errors.contains(&format!("&& forger kernel add {name}_*.deb")),
        "{errors}"
    );
    let Some(package) = packages::package(name) else {
        return;
    };
    let release = name.strip_prefix("linux-image-").unwrap();
    let added = objects(&scratch, &["add", package.to_str().unwrap(), "--no-sync"]);
    let facts = &added[0];
    assert_eq!(facts["name"], release);
    assert_eq!(facts["release"], release);
    assert_eq!(facts["format"], "bzImage");
    assert_eq!(facts["package"], name);
    assert_eq!(facts["default"], true);
    let modules = Path::new(facts["modules_path"].as_str().unwrap());
    let listed = fs::read_to_string(modules.join("modules.dep")).unwrap();
    assert_eq!(
        listed.lines().count() as u64,
        facts["modules"].as_u64().unwrap()
    );
    assert!(listed.lines().count() > 500, "{}", listed.lines().count());
    // What depmod would say of these.
    let needs = |module: &str| {
        let line = listed
            .lines()
            .find(|line| line.contains(&format!("/{module}.ko")));
        line.unwrap_or_else(|| panic!("no {module}")).to_owned()
    };
    assert!(
        needs("virtio_blk").contains("virtio_ring.ko")
            || needs("virtio_blk").contains("/virtio.ko")
    );
    assert!(
        needs("overlay").ends_with("overlay.ko:"),
        "{}",
        needs("overlay")
    );
    let text = kernel(&scratch, &["info", release]);
    assert!(text.text().contains(name), "{text}");
}

#[test]
fn kernels_are_imported_bundled_chosen_and_removed() {
    let scratch = Scratch::new();
    let (old, new) = (system(&scratch, "5.10.0-1"), system(&scratch, "6.1.0-9"));
    let from = |tar: &Path| tar.display().to_string();
    let imported = objects(&scratch, &["import", "--from", &from(&old), "--no-sync"]);
    assert_eq!(imported[0]["name"], "5.10.0-1");
    assert_eq!(imported[0]["modules"], 2);
    objects(
        &scratch,
        &[
            "import",
            "--from",
            &from(&new),
            "--name",
            "fresh",
            "--default",
        ],
    );
    let twice = kernel(
        &scratch,
        &["import", "--from", &from(&new), "--name", "fresh"],
    );
    assert_eq!(twice.status.code(), Some(1), "{twice}");
    assert!(twice.errors().contains("--force"), "{twice}");
    // An image is a source like any other; its kernel is asked for by its release.
    let image = scratch.path("system.ext4");
    with_store(&scratch).arg("mkfs").args([&new, &image]).ok();
    let missing = kernel(
        &scratch,
        &["import", "--from", &from(&image), "--release", "1.0"],
    );
    assert!(missing.errors().contains("it has 6.1.0-9"), "{missing}");
    objects(
        &scratch,
        &[
            "import",
            "--from",
            &from(&image),
            "--name",
            "fresh",
            "--force",
        ],
    );
    let all = objects(&scratch, &["ls"]);
    let defaults: Vec<_> = all
        .iter()
        .map(|one| (&one["name"], &one["default"]))
        .collect();
    assert_eq!(
        format!("{defaults:?}"),
        r#"[(String("5.10.0-1"), Bool(false)), (String("fresh"), Bool(true))]"#
    );
    objects(&scratch, &["default", "5.10.0-1"]);
    assert_eq!(objects(&scratch, &["info", "5.10.0-1"])[0]["default"], true);
    // A bundle gives the same kernel again, and equal kernels equal bundles.
    let (one, two) = (scratch.path("one.tar.zst"), scratch.path("two.tar.zst"));
    for out in [&one, &two] {
        kernel(&scratch, &["bundle", "fresh", "-o", out.to_str().unwrap()]);
    }
    Run::new("cmp").arg(&one).arg(&two).ok();
    assert_eq!(kernel(&scratch, &["rm", "fresh"]).text(), "fresh\n");
    let added = objects(&scratch, &["add", one.to_str().unwrap()]);
    assert_eq!(
        (&added[0]["name"], &added[0]["modules"]),
        (&"fresh".into(), &2.into())
    );
    let path = added[0]["path"].as_str().unwrap();
    assert_eq!(fs::read(path).unwrap(), bzimage("6.1.0-9"));
    let gone = kernel(&scratch, &["rm", "none-such"]);
    assert_eq!(gone.status.code(), Some(1), "{gone}");
}

#[test]
fn a_guest_gets_the_kernel_that_is_named_else_one_that_is_kept_else_its_roots() {
    need!("qemu-system-x86_64", "linux.uml");
    let scratch = Scratch::new();
    let root = system(&scratch, "5.10.0-1");
    let kept = system(&scratch, "6.1.0+b");
    let file = scratch.file("vmlinuz", bzimage("4.19.0"));
    // No guest comes up with these, or with so little memory; which kernel it would have had is said before.
    let kernel_of = |arguments: &[&str]| {
        let run = with_store(&scratch).args(["run", "-v", "--memory", "1M"]);
        let output = run.args(arguments).arg(&root).output();
        assert!(!output.status.success(), "{output}");
        let said = output.errors();
        let mut kernels = said
            .lines()
            .filter_map(|line| line.split("the guest's kernel is ").nth(1));
        kernels
            .next()
            .unwrap_or_else(|| panic!("{output}"))
            .to_owned()
    };
    let emulated = ["--backend", "qemu-tcg"];
    assert_eq!(
        kernel_of(&emulated),
        "the root filesystem's boot/vmlinuz-5.10.0-1"
    );
    objects(
        &scratch,
        &["import", "--from", kept.to_str().unwrap(), "--no-sync"],
    );
    assert_eq!(kernel_of(&emulated), "the kernel 6.1.0-b");
    let file = file.to_str().unwrap();
    assert_eq!(
        kernel_of(&["--backend", "qemu-tcg", "--kernel", file]),
        file
    );
    // Its release is a name of it as well.
    let by_release = kernel_of(&["--backend", "qemu-tcg", "--kernel", "6.1.0+b"]);
    assert_eq!(by_release, "the kernel 6.1.0+b");
    // None of these is one for User-Mode Linux.
    let own = kernel_of(&["--backend", "uml"]);
    assert!(
        own.starts_with("this machine's ") && own.ends_with("/linux.uml"),
        "{own}"
    );
}

#[test]
fn what_is_no_kernel_leaves_nothing() {
    let scratch = Scratch::new();
    let bad = [
        ("noise", b"no kernel at all".to_vec()),
        ("empty.deb", b"!<arch>\n".to_vec()),
        ("cut.deb", b"!<arch>\ncontrol.tar".to_vec()),
        ("packed", [&b"\xfd7zXZ\0"[..], &[7; 40]].concat()),
    ];
    let mut archive = Archive::new();
    archive.extend(&[
        Member::file("boot/vmlinuz-1", bzimage("1")),
        Member::file("lib/modules/1/../../../x.ko", "elsewhere"),
    ]);
    let elsewhere = ("elsewhere.tar", archive.finish());
    let mut archive = Archive::new();
    archive.extend(&[
        Member::file("boot/vmlinuz-1", bzimage("1")),
        Member::file("boot/vmlinuz-2", bzimage("2")),
    ]);
    let two = ("two.tar", archive.finish());
    for (name, bytes) in bad.into_iter().chain([elsewhere, two]) {
        let file = scratch.file(name, bytes);
        let refused = kernel(&scratch, &["add", file.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(1), "{name}: {refused}");
    }
    assert!(objects(&scratch, &["ls"]).is_empty());
    let left = fs::read_dir(scratch.path("store/kernels"))
        .unwrap()
        .flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn kernels_come_from_catalogs_and_registries() {
    need!("docker-registry");
    let scratch = Scratch::new();
    let tar = system(&scratch, "6.1.0-9");
    let from = tar.display().to_string();
    objects(&scratch, &["import", "--from", &from, "--name", "cloud"]);
    let bundle = scratch.path("cloud.kernel.tar.zst");
    let made = kernel(
        &scratch,
        &["bundle", "cloud", "-o", scratch.root().to_str().unwrap()],
    );
    assert_eq!(made.text(), format!("{}\n", bundle.display()), "{made}");
    kernel(&scratch, &["rm", "cloud"]);
    let catalog = scratch.path("catalog.json");
    let run = |args: &[&str]| with_store(&scratch).args(args).arg(&catalog);
    run(&["catalog", "add"]).arg(&bundle).ok();
    assert!(run(&["catalog", "verify"]).ok().text().contains("  ok"));
    let place = catalog.display().to_string();
    let pulled = objects(&scratch, &["pull", "cloud", "--catalog", &place]);
    assert_eq!(
        (&pulled[0]["name"], &pulled[0]["modules"]),
        (&"cloud".into(), &2.into())
    );
    kernel(&scratch, &["rm", "cloud"]);
    // A registry gives it back under its own media type.
    let registry = Registry::start(scratch.root());
    let reference = registry.reference("org/kernel:6.1");
    with_store(&scratch)
        .arg("push")
        .arg(&bundle)
        .arg(&reference)
        .ok();
    let digest = sha256(&fs::read(&bundle).unwrap());
    let url = format!("oci://{reference}");
    let other = "0".repeat(64);
    let refused = kernel(&scratch, &["pull", &url, "--sha256", &other]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(objects(&scratch, &["ls"]).is_empty());
    let pulled = objects(&scratch, &["pull", &url, "--sha256", &digest]);
    assert_eq!(pulled[0]["name"], "cloud");
    // A damaged one is not taken, wherever it is.
    let mut bytes = fs::read(&bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    let damaged = kernel(&scratch, &["pull", "cloud", "--catalog", &place, "--force"]);
    assert_eq!(damaged.status.code(), Some(1), "{damaged}");
    let wrong = run(&["catalog", "verify"]).output();
    assert_eq!(wrong.status.code(), Some(1), "{wrong}");
}

#[test]
fn a_name_of_the_catalog_is_run_with_the_kernel_that_belongs_to_it_and_authorities_are_trusted() {
    if !tools::present(&["linux.uml", "openssl"]) {
        return;
    }
    let Some(tar) = rootfs::minbase() else { return };
    let scratch = Scratch::new();
    // User-Mode Linux of this machine, under a name of its own.
    let uml = tools::find("linux.uml").unwrap().display().to_string();
    objects(&scratch, &["add", &uml, "--name", "own-uml"]);
    let bundle = scratch.path("own.kernel.tar.zst").display().to_string();
    kernel(&scratch, &["bundle", "own-uml", "-o", &bundle]);
    kernel(&scratch, &["rm", "own-uml"]);
    let out = scratch.root().display().to_string();
    let args = [
        "make-bundle",
        "--name",
        "debian",
        "--arch",
        "x86_64",
        "--no-sync",
        "--kernel-ref",
    ];
    let made = with_store(&scratch)
        .args(args)
        .args(["own-uml", "--out", &out])
        .arg(&tar)
        .ok();
    let rootfs = made.text().lines().next().unwrap().to_owned();
    let catalog = scratch.path("catalog.json");
    for file in [&bundle, &rootfs] {
        with_store(&scratch)
            .args(["catalog", "add"])
            .arg(&catalog)
            .arg(file)
            .ok();
    }
    let (key, authority) = (scratch.path("key.pem"), scratch.path("ca.pem"));
    let run = Run::new("openssl").args(["req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes"]);
    run.args(["-subj", "/CN=own", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&authority)
        .ok();
    let script = "cat $SSL_CERT_FILE; echo; cat $APT_CONFIG; ls /run/forger; touch /srv/x";
    let ran = with_store(&scratch)
        .args([
            "run",
            "--verbose",
            "--memory",
            "256M",
            "--diff",
            "--catalog",
        ])
        .arg(&catalog)
        .arg("--ca-file")
        .arg(&authority)
        .args(["debian", "--", "sh", "-c", script])
        .output();
    assert!(ran.status.success(), "{ran}");
    let text = ran.text();
    assert!(
        text.contains(fs::read_to_string(&authority).unwrap().trim()),
        "{ran}"
    );
    assert!(
        text.contains("CaInfo") && text.contains("bundle.pem"),
        "{ran}"
    );
    // Nothing of it is in a result.
    assert!(
        text.contains("+ /srv/x") && !text.contains("/run/forger ("),
        "{ran}"
    );
    assert_eq!(objects(&scratch, &["ls"])[0]["name"], "own-uml");
    let listed = with_store(&scratch)
        .args(["doctor", "--output", "json"])
        .output()
        .text();
    assert!(listed.contains("the kernel own-uml"), "{listed}");
}

#[test]
fn a_kernel_that_the_backend_does_not_take_is_refused_with_what_helps() {
    let scratch = Scratch::new();
    let tar = system(&scratch, "6.1.0-9");
    let file = scratch.file("vmlinuz", bzimage("6.1.0-9"));
    let run = |kernel: &str| {
        let run = with_store(&scratch).args(["run", "--backend", "uml", "--kernel", kernel]);
        run.arg(&tar).args(["--", "true"]).output()
    };
    let refused = run(file.to_str().unwrap());
    assert_eq!(refused.status.code(), Some(125), "{refused}");
    assert!(refused.errors().contains("takes uml"), "{refused}");
    let none = run("none-such");
    assert!(none.errors().contains("forger kernel ls"), "{none}");
}

#[test]
fn without_any_kernel_the_command_that_brings_one_is_said() {
    need!("root", "unshare", "setpriv", "qemu-system-x86_64");
    let scratch = Scratch::new();
    let mut archive = Archive::new();
    archive.extend(&[Member::dir("etc")]);
    let tar = scratch.file("empty.tar", archive.finish());
    // An ordinary user of a machine without User-Mode Linux, and without kernels of its own.
    let bare = "for uml in /usr/bin/linux.uml /usr/local/bin/linux.uml; do \
                [ ! -e $uml ] || mount --bind /dev/null $uml; done; mount -t tmpfs none /boot; \
                exec setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all \"$@\"";
    let uml = "apt-get download user-mode-linux && forger kernel add user-mode-linux_*.deb";
    let machine = "apt-get download $(apt-cache depends linux-image-cloud-amd64 | grep -o 'linux-image-[0-9].*') \
                   && forger kernel add linux-image-*.deb";
    for (chosen, command) in [
        ("--backend=auto", uml),
        ("--backend=uml", uml),
        ("--backend=qemu-tcg", machine),
        ("--isolation=vm", machine),
    ] {
        let run = with_store(&scratch).args(["run", chosen]).arg(&tar);
        let output = run
            .args(["--", "true"])
            .under("unshare", &["--mount", "sh", "-c", bare, "sh"])
            .output();
        assert_eq!(output.status.code(), Some(125), "{output}");
        let errors = output.errors();
        let help = errors.lines().find(|line| line.contains("help: "));
        assert!(help.expect(&errors).contains(command), "{output}");
    }
}
