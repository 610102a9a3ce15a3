//! Catalogs of bundles, and the local store.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use forger_tests::forger::forger;
use forger_tests::need;
use forger_tests::process::{Output, Run};
use forger_tests::registry::{Registry, serve_files, sha256};
use forger_tests::scratch::Scratch;

/// A folder with bundles and a catalog of them, and a store of its own.
struct Shop {
    scratch: Scratch,
    folder: PathBuf,
}

impl Shop {
    fn new(names: &[&str]) -> Self {
        let scratch = Scratch::new();
        let folder = scratch.path("shop");
        fs::create_dir(&folder).unwrap();
        let shop = Self { scratch, folder };
        for name in names {
            shop.add(name);
        }
        shop
    }

    /// Makes a small bundle and adds it to the catalog.
    fn add(&self, name: &str) {
        let root = self.scratch.path(name);
        fs::create_dir(&root).unwrap();
        fs::write(root.join("file"), name).unwrap();
        let run = self.run(&[
            "make-bundle",
            "--name",
            name,
            "--arch",
            "x86_64",
            "--distro",
            "debian",
        ]);
        let made = run.arg("--out").arg(&self.folder).arg(&root).ok().text();
        let bundle = made.lines().next().unwrap();
        self.run(&["catalog", "add"])
            .arg(self.catalog())
            .arg(bundle)
            .ok();
    }

    fn catalog(&self) -> PathBuf {
        self.folder.join("catalog.json")
    }

    fn store(&self) -> PathBuf {
        self.scratch.path("store")
    }

    fn run(&self, args: &[&str]) -> Run {
        forger().args(args).env("FORGER_STORE", self.store())
    }

    fn pull(&self, args: &[&str]) -> Output {
        self.run(&["bundle", "pull"]).args(args).output()
    }

    fn document(&self) -> Value {
        serde_json::from_slice(&fs::read(self.catalog()).unwrap()).unwrap()
    }

    fn url(&self) -> String {
        format!("{}/catalog.json", serve_files(&self.folder))
    }
}

/// Asserts that a pull succeeded, and returns the path of the bundle.
fn path(output: &Output) -> PathBuf {
    assert!(output.status.success(), "{output}");
    PathBuf::from(output.text().lines().next().unwrap())
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn a_bundle_comes_from_a_file_a_server_and_a_registry() {
    need!("docker-registry");
    let shop = Shop::new(&["app"]);
    let entry = &shop.document()["entries"][0];
    let digest = entry["tarball_sha256"].as_str().unwrap().to_owned();
    assert_eq!(
        (&entry["distro"], &entry["arch"]),
        (&"debian".into(), &"x86_64".into())
    );
    let name = format!("app-x86_64-{}.tar.zst", &digest[..12]);
    assert_eq!(entry["tarball_url"], name.as_str());

    let registry = Registry::start(shop.scratch.root());
    let reference = registry.reference("bundles/app:1");
    shop.run(&["push"])
        .arg(shop.folder.join(&name))
        .arg(&reference)
        .ok();
    let web = shop.url();
    let file = shop.catalog().display().to_string();
    let oci = format!("oci://{reference}");
    for args in [
        ["app", "--catalog", file.as_str()],
        ["app", "--catalog", web.as_str()],
        [oci.as_str(), "--sha256", digest.as_str()],
    ] {
        let _ = fs::remove_dir_all(shop.store());
        let kept = path(&shop.pull(&args));
        assert_eq!(sha256(&fs::read(&kept).unwrap()), digest);
        assert!(kept.ends_with(&digest));
        let out = path(
            &shop.pull(
                &[
                    &args[..],
                    &["--out", shop.scratch.root().to_str().unwrap(), "--force"],
                ]
                .concat(),
            ),
        );
        assert_eq!(out.file_name().unwrap().to_str(), Some(name.as_str()));
        assert_eq!(fs::read(&out).unwrap(), fs::read(&kept).unwrap());
    }
}

#[test]
fn what_is_kept_is_not_fetched_again() {
    let shop = Shop::new(&["app"]);
    let pull = || {
        let catalog = shop.catalog();
        let run = shop
            .run(&["bundle", "pull", "app", "--output", "json", "--catalog"])
            .arg(catalog);
        let value: Value = serde_json::from_slice(&run.ok().stdout).unwrap();
        value["fetched"].as_bool().unwrap()
    };
    assert!(pull());
    let mut bundle = fs::read_dir(&shop.folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let bundle = bundle
        .find(|path| path.extension().is_some_and(|kind| kind == "zst"))
        .unwrap();
    let away = shop.scratch.path("away");
    fs::rename(&bundle, &away).unwrap();
    assert!(!pull());
    // What was damaged is fetched again.
    let blobs = shop.store().join("blobs/sha256");
    let blob = fs::read_dir(&blobs)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::write(blob, "damaged").unwrap();
    fs::rename(&away, &bundle).unwrap();
    assert!(pull());
}

#[test]
fn another_bundle_than_the_catalog_says_is_not_kept() {
    let shop = Shop::new(&["app", "other"]);
    let mut document = shop.document();
    let other = document["entries"][1]["tarball_url"].clone();
    document["entries"][0]["tarball_url"] = other;
    fs::write(shop.catalog(), document.to_string()).unwrap();
    let catalog = shop.catalog().display().to_string();
    let refused = shop.pull(&["app", "--catalog", &catalog, "--out", "out.tar.zst"]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(refused.errors().contains("another bundle"), "{refused}");
    assert_eq!(files(&shop.store().join("blobs/sha256")), 0);
    let verified = shop.run(&["catalog", "verify"]).arg(&catalog).output();
    assert_eq!(verified.status.code(), Some(1));
    let text = verified.text();
    assert!(
        text.contains("WRONG") && text.lines().last().unwrap().ends_with("ok"),
        "{text}"
    );
    // What is no bundle at all is not kept either, whatever its digest.
    let web = serve_files(&shop.folder);
    let no_bundle = shop.pull(&[&format!("{web}/catalog.json")]);
    assert_eq!(no_bundle.status.code(), Some(1));
    assert_eq!(files(&shop.store().join("blobs/sha256")), 0);
}

#[test]
fn a_name_that_is_not_there_is_answered_with_those_that_are() {
    let shop = Shop::new(&["app", "base"]);
    let catalog = shop.catalog().display().to_string();
    let missing = shop.pull(&["nothing", "--catalog", &catalog]);
    assert!(missing.errors().contains("app, base"), "{missing}");
    let listed = shop.run(&["catalog", "ls", &catalog]).ok().text();
    assert_eq!(
        listed
            .lines()
            .map(|line| line.split(' ').next().unwrap())
            .collect::<Vec<_>>(),
        ["app", "base"]
    );
    shop.run(&["catalog", "verify", &catalog]).ok();
}

#[test]
fn several_commands_add_to_a_catalog_and_fetch_from_it_at_once() {
    let shop = Shop::new(&[]);
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            let shop = &shop;
            scope.spawn(move || shop.add(name));
        }
    });
    assert_eq!(shop.document()["entries"].as_array().unwrap().len(), 4);
    let catalog = shop.catalog().display().to_string();
    std::thread::scope(|scope| {
        for name in ["a", "b", "a", "b"] {
            let (shop, catalog) = (&shop, &catalog);
            scope.spawn(move || path(&shop.pull(&[name, "--catalog", catalog])));
        }
    });
    assert_eq!(files(&shop.store().join("blobs/sha256")), 2);
    let listed = shop.run(&["store", "ls"]).ok().text();
    assert_eq!(listed.lines().count(), 2, "{listed}");
    shop.run(&["store", "gc", "--keep-bytes", "0"]).ok();
    assert_eq!(files(&shop.store().join("blobs/sha256")), 0);
}
