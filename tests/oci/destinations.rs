//! Images that are made or changed go wherever images can be.

use std::fs;

use forger_tests::archive::Member;
use forger_tests::forger::forger;
use forger_tests::images::Packed;
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::registry::Registry;
use forger_tests::scratch::Scratch;
use serde_json::json;

use super::{layout, ok, stack, tar};

/// Makes or changes an image by every verb that does, with the result at `to`.
fn made(verb: &str, image: &str, layer: &str, to: &str) -> String {
    ok(&match verb {
        "append" => vec!["oci", "append", image, layer, "--to", to],
        "mutate" => vec!["oci", "mutate", image, "--env", "NEW=1", "--to", to],
        "flatten" => vec!["oci", "flatten", image, to, "--compress", "gzip:1"],
        _ => vec!["oci", "pack", image, to, "--entrypoint", "/bin/app"],
    })
}

#[test]
fn what_is_made_goes_to_archives_and_registries_as_to_layouts() {
    need!("docker-registry", "skopeo");
    let scratch = Scratch::new();
    let registry = Registry::start(scratch.root());
    let mut layout = layout(&scratch);
    // Archives of docker's that Debian 12 knows have no zstd.
    let mut layers = stack();
    layers[1].1 = Packed::Gzip;
    let gzip = layout.image(&layers, "amd64", json!({ "Entrypoint": ["/bin/tool"] }));
    layout.list(gzip, "gzip");
    let image = layout.named("gzip");
    let layer = tar(&[
        Member::file("etc/.wh.passwd", ""),
        Member::file("on/top", "x"),
    ]);
    let layer = scratch.file("layer.tar", layer).display().to_string();
    for verb in ["append", "mutate", "flatten", "pack"] {
        let expected = layout.named(verb);
        let digest = made(verb, &image, &layer, &expected);
        let file = |name: &str| {
            scratch
                .path(&format!("{verb}.{name}"))
                .display()
                .to_string()
        };
        let archive = format!("oci-archive:{}:app", file("oci"));
        let docker = format!("docker-archive:{}:team/app:1", file("docker"));
        let reference = registry.reference(&format!("{verb}/app:1"));
        let remote = format!("oci://{reference}");
        for to in [&archive, &docker, &remote] {
            assert_eq!(made(verb, &image, &layer, to), digest, "{to}");
            ok(&["diff", &expected, to]);
        }
        for kept in [&archive, &remote] {
            assert_eq!(ok(&["oci", "digest", kept]), digest, "{kept}");
        }
        let config = |of: &str| {
            let run = Run::new("skopeo").args(["inspect", "--tls-verify=false", "--config", of]);
            run.ok().text()
        };
        for theirs in [&archive, &docker, &format!("docker://{reference}")] {
            assert_eq!(config(theirs), config(&expected), "{theirs}");
        }
    }
}

#[test]
fn an_image_of_a_registry_is_changed_within_it_without_sending_its_layers() {
    need!("docker-registry");
    let scratch = Scratch::new();
    let registry = Registry::start(scratch.root());
    let layout = layout(&scratch);
    let base = registry.reference("base/app:1");
    ok(&["copy", &layout.named("app"), &base]);
    let (base, new) = (
        format!("oci://{base}"),
        format!("oci://{}", registry.reference("new/app:1")),
    );
    ok(&["oci", "mutate", &base, "--env", "A=c", "--to", &new]);
    ok(&["diff", &base, &new]);
    // Without --to nothing in a registry changes.
    let refused = forger()
        .args(["oci", "mutate", &base, "--env", "A=d"])
        .output();
    assert_eq!(refused.status.code(), Some(2), "{refused}");
    assert!(refused.errors().contains("--to"), "{refused}");
}

#[test]
fn an_archive_is_replaced_only_when_asked_and_is_never_half() {
    let scratch = Scratch::new();
    let layout = layout(&scratch);
    let file = scratch.file("app.tar", "what was there");
    let to = format!("oci-archive:{}", file.display());
    let mutate = |more: &[&str]| {
        let run = forger().args(["oci", "mutate", &layout.named("app"), "--to", &to]);
        run.args(more).output()
    };
    assert_eq!(mutate(&[]).status.code(), Some(1));
    assert_eq!(fs::read(&file).unwrap(), b"what was there");
    assert!(mutate(&["--force"]).status.success());
    ok(&["diff", &layout.named("app"), &to]);
    // A layer that is damaged is what the error is about, whichever thread found out.
    let inspected = ok(&["oci", "inspect", "--output", "json", &layout.named("app")]);
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    let blob = layout.path(&forger_tests::images::digits(&inspected["layers"][0]));
    let mut bytes = fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&blob, bytes).unwrap();
    let before = fs::read(&file).unwrap();
    for _ in 0..5 {
        let failed = mutate(&["--force"]);
        assert_eq!(failed.status.code(), Some(1), "{failed}");
        assert!(failed.errors().contains("damaged"), "{failed}");
    }
    assert!(fs::read(&file).unwrap() == before);
}

#[test]
fn images_are_removed_from_registries() {
    need!("docker-registry");
    let scratch = Scratch::new();
    let registry = Registry::start(scratch.root());
    let layout = layout(&scratch);
    let reference = registry.reference("app:1");
    ok(&["copy", &layout.named("app"), &reference]);
    let image = format!("oci://{reference}");
    let digest = ok(&["oci", "digest", &image]);
    // Debian's registry removes by digest only, and says what that is.
    let refused = forger().args(["oci", "rm", &image]).output();
    if !refused.status.success() {
        assert!(refused.errors().contains(digest.trim()), "{refused}");
        let name = format!("oci://{}@{}", registry.reference("app"), digest.trim());
        ok(&["oci", "rm", &name]);
    }
    let gone = forger().args(["oci", "digest", &image]).output();
    assert_eq!(gone.status.code(), Some(1), "{gone}");
    let never = forger()
        .args([
            "oci",
            "rm",
            &format!("oci://{}", registry.reference("none:1")),
        ])
        .output();
    assert_eq!(never.status.code(), Some(1), "{never}");
}

#[test]
fn a_platform_is_chosen_where_filesystems_are_compared() {
    let scratch = Scratch::new();
    let mut layout = forger_tests::images::Layout::new(scratch.path("layout"));
    let images = ["amd64", "arm64"].map(|arch| {
        let tar = tar(&[Member::file("arch", arch)]);
        layout.image(&[(tar, Packed::Plain)], arch, json!({}))
    });
    for (name, image) in ["amd", "arm"].into_iter().zip(&images) {
        layout.list(image.clone(), name);
    }
    let many = layout.nested(&images);
    layout.list(many, "many");
    for (platform, same, other) in [("linux/amd64", "amd", "arm"), ("linux/arm64", "arm", "amd")] {
        let diff = |name: &str| {
            let run = forger().args(["diff", &layout.named("many"), &layout.named(name)]);
            run.args(["--platform", platform]).output().status.code()
        };
        // What is for another platform is refused.
        assert_eq!((diff(same), diff(other)), (Some(0), Some(2)), "{platform}");
    }
}

#[test]
fn layers_that_may_not_be_given_away_are_fetched_with_leave_only() {
    let scratch = Scratch::new();
    let url = forger_tests::registry::serve_files(&scratch.path("web"));
    let web = scratch.path("web");
    fs::create_dir(&web).unwrap();
    let mut layout = forger_tests::images::Layout::new(scratch.path("layout"));
    let layers = [
        (tar(&[Member::file("ours", "1")]), Packed::Plain),
        (tar(&[Member::file("theirs", "2")]), Packed::Plain),
    ];
    let image = layout.image(&layers, "amd64", json!({}));
    layout.list(image.clone(), "whole");
    let path = layout.path(&forger_tests::images::digits(&image));
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let layer = &mut manifest["layers"][1];
    layer["mediaType"] = json!("application/vnd.oci.image.layer.nondistributable.v1.tar");
    layer["urls"] = json!([format!("{url}/none"), format!("{url}/layer")]);
    let layer = layout.path(&forger_tests::images::digits(layer));
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let foreign = layout.blob(kind, manifest.to_string().as_bytes());
    layout.list(foreign, "foreign");
    let (whole, foreign) = (layout.named("whole"), layout.named("foreign"));
    // A copy leaves it out, and says where it is.
    let bare = format!("oci:{}:bare", scratch.path("bare").display());
    let copied = forger().args(["copy", &foreign, &bare]).ok();
    assert!(copied.errors().contains("/layer"), "{copied}");
    let refused = forger().args(["diff", &bare, &whole]).output();
    assert_eq!(refused.status.code(), Some(2), "{refused}");
    assert!(refused.errors().contains("--fetch-foreign"), "{refused}");
    // What is served must be what the image says.
    fs::write(web.join("layer"), "something else").unwrap();
    let exchanged = forger()
        .args(["diff", "--fetch-foreign", &bare, &whole])
        .output();
    assert_eq!(exchanged.status.code(), Some(2), "{exchanged}");
    fs::copy(layer, web.join("layer")).unwrap();
    ok(&["diff", "--fetch-foreign", &bare, &whole]);
    let filled = format!(
        "oci-archive:{}:filled",
        scratch.path("filled.tar").display()
    );
    ok(&["copy", "--fetch-foreign", &bare, &filled]);
    ok(&["diff", &filled, &whole]);
}
