//! Stacks of layers made by numbers, each flattened by forger and by umoci.

use std::collections::BTreeMap;

use forger_tests::archive::Member;
use forger_tests::images::{Layout, Packed, split, umoci_unpack};
use forger_tests::need;
use forger_tests::process::Run;
use forger_tests::rootfs::minbase;
use forger_tests::scratch::Scratch;
use forger_tests::walk::Listing;
use serde_json::json;

use super::{ok, tar};
use crate::check::Numbers;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    Other,
}

/// What stands where after the layers so far, and which names the present one gave or took.
#[derive(Default)]
struct World {
    names: BTreeMap<String, Kind>,
    touched: Vec<String>,
}

impl World {
    fn pick(&self, numbers: &mut Numbers, kind: impl Fn(Kind) -> bool) -> Option<String> {
        let fitting: Vec<&String> = self
            .names
            .iter()
            .filter(|(_, of)| kind(**of))
            .map(|(name, _)| name)
            .collect();
        let at = numbers.below(fitting.len().max(1));
        fitting.get(at).map(|name| (*name).clone())
    }

    /// Tells whether the present layer gave or took the name, or one above or below it.
    fn is_touched(&self, name: &str) -> bool {
        let below = |name: &str, folder: &str| name.starts_with(&format!("{folder}/"));
        let met = |other: &String| other == name || below(other, name) || below(name, other);
        self.touched.iter().any(met)
    }

    fn remove_below(&mut self, folder: &str) {
        let below = format!("{folder}/");
        self.names.retain(|name, _| !name.starts_with(&below));
    }
}

/// Makes one layer: entries that replace, whiteouts, opaque folders, links into lower layers.
fn layer(numbers: &mut Numbers, world: &mut World) -> Vec<Member> {
    let mut members = vec![dressed(Member::dir("./"), numbers)];
    world.touched.clear();
    for _ in 0..3 + numbers.below(10) {
        step(numbers, world, &mut members);
    }
    members
}

fn step(numbers: &mut Numbers, world: &mut World, members: &mut Vec<Member>) {
    let what = numbers.below(12);
    if what < 3 {
        let folders_only = what == 0;
        let fits = |kind| !folders_only || kind == Kind::Folder;
        let Some(name) = world
            .pick(numbers, fits)
            .filter(|name| !world.is_touched(name))
        else {
            return;
        };
        let (folder, last) = name.rsplit_once('/').unwrap_or(("", &name));
        members.push(match folders_only {
            true => Member::file(format!("{name}/.wh..wh..opq"), ""),
            false => Member::file(format!("{folder}/.wh.{last}").trim_start_matches('/'), ""),
        });
        world.remove_below(&name);
        if !folders_only {
            world.names.remove(&name);
        }
        world.touched.push(name);
        return;
    }
    let folder = world.pick(numbers, |kind| kind == Kind::Folder);
    let last = ["a", "b", "c", "d"][numbers.below(4)];
    let name = match folder.filter(|folder| folder.len() < 12 && numbers.below(4) > 0) {
        Some(folder) => format!("{folder}/{last}"),
        None => last.to_owned(),
    };
    // What this layer has decided stays, so that the order in it does not matter.
    if world.touched.contains(&name) {
        return;
    }
    let (member, kind) = match what {
        3..6 => (Member::dir(&name), Kind::Folder),
        6 => (
            Member::symlink(&name, ["a", "../b", "/c"][numbers.below(3)]),
            Kind::Other,
        ),
        7 => (Member::fifo(&name), Kind::Other),
        8 => {
            let target = world.pick(numbers, |kind| kind == Kind::File);
            let Some(target) =
                target.filter(|target| *target != name && !target.starts_with(&format!("{name}/")))
            else {
                return;
            };
            (Member::hardlink(&name, target), Kind::File)
        }
        _ => {
            let length = [0, 1, 5000, 70_000][numbers.below(4)];
            let filling = numbers.below(250).to_le_bytes()[0];
            (Member::file(&name, vec![filling; length]), Kind::File)
        }
    };
    if kind != Kind::Folder {
        world.remove_below(&name);
    }
    let is_link = what == 8;
    world.names.insert(name.clone(), kind);
    world.touched.push(name);
    members.push(match is_link {
        true => member,
        false => dressed(member, numbers),
    });
}

fn dressed(member: Member, numbers: &mut Numbers) -> Member {
    let time = 1_500_000_000 + i64::try_from(numbers.below(1000)).unwrap_or(0);
    let member = member
        .mode([0o755, 0o4711, 0o1777, 0o640][numbers.below(4)])
        .owner([0, 1000][numbers.below(2)], [0, 70_000][numbers.below(2)]);
    member.mtime(time, 0)
}

/// Of the root umoci keeps no time.
const ROOT: [&str; 1] = [""];

#[test]
fn generated_stacks_are_flattened_as_umoci_flattens_them() {
    need!("umoci", "root");
    let scratch = Scratch::new();
    let mut layout = Layout::new(scratch.path("layout"));
    let stacks: Vec<String> = (1..=24_u64)
        .map(|seed| {
            let (mut numbers, mut world) = (Numbers(seed), World::default());
            let layers: Vec<_> = (0..2 + numbers.below(3))
                .map(|_| (tar(&layer(&mut numbers, &mut world)), Packed::Plain))
                .collect();
            let image = layout.image(&layers, "amd64", json!({}));
            let name = format!("stack-{seed}");
            layout.list(image, &name);
            name
        })
        .collect();
    for (number, name) in stacks.into_iter().enumerate() {
        let (bundle, ours) = (scratch.path(&format!("{name}.umoci")), scratch.path(&name));
        umoci_unpack(&layout.dir, &name, &bundle);
        let to = ours.display().to_string();
        ok(&["oci", "unpack", "--no-sync", &layout.named(&name), &to]);
        let expected = Listing::of(&bundle.join("rootfs"), &ROOT);
        Listing::of(&ours, &ROOT).assert_same(&expected);
        if number % 8 == 0 {
            // The other way round: umoci unpacks what forger made of all layers.
            let flat = format!("{name}-flat");
            let to = layout.named(&flat);
            ok(&["oci", "flatten", "--no-sync", &layout.named(&name), &to]);
            let bundle = scratch.path(&flat);
            umoci_unpack(&layout.dir, &flat, &bundle);
            Listing::of(&bundle.join("rootfs"), &ROOT).assert_same(&expected);
        }
    }
}

#[test]
#[ignore = "slow: unpacks Debian twice"]
fn debian_in_layers_is_flattened_as_umoci_flattens_it() {
    need!("umoci", "root", "tar");
    let Some(rootfs) = minbase() else { return };
    let scratch = Scratch::new();
    let folder = scratch.path("folder");
    std::fs::create_dir(&folder).unwrap();
    let run = Run::new("tar").args(["-xp", "--numeric-owner", "--xattrs", "--xattrs-include=*"]);
    run.arg("-C")
        .arg(&folder)
        .arg("-f")
        .arg(&rootfs)
        .limit(300)
        .ok();
    let layout = split(&folder, scratch.root()).unwrap();
    let image = format!("oci:{}:app", layout.display());
    let (bundle, ours) = (scratch.path("bundle"), scratch.path("ours"));
    umoci_unpack(&layout, "app", &bundle);
    ok(&["oci", "unpack", &image, &ours.display().to_string()]);
    Listing::of(&ours, &ROOT).assert_same(&Listing::of(&bundle.join("rootfs"), &ROOT));
}
