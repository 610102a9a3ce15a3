//! Archives made from arbitrary bytes: every byte string is a legal archive's recipe.
//!
//! Property tests and the fuzzer choose the bytes. Names come from a small set, so that entries meet
//! and replace each other; sizes lie around the borders of blocks, inodes and extents.

use crate::archive::Member;

/// Makes the members of an archive, each a legal one at its place; GNU tar can extract them all.
#[must_use]
pub fn members(recipe: &[u8]) -> Vec<Member> {
    let mut choices = Choices { bytes: recipe };
    let mut world = World::default();
    let mut members = Vec::new();
    while !choices.bytes.is_empty() && members.len() < 4000 {
        step(&mut choices, &mut world, &mut members);
    }
    members
}

/// The bytes that decide; zeros when they are used up.
struct Choices<'a> {
    bytes: &'a [u8],
}

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        *first
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }
}

/// What stands where so far.
#[derive(Default)]
struct World {
    folders: Vec<String>,
    others: Vec<String>,
}

impl World {
    /// Takes a name for something new: what stood there and below it is gone.
    fn take(&mut self, name: &str) {
        let below = format!("{name}/");
        let stays = |path: &String| path != name && !path.starts_with(&below);
        self.folders.retain(stays);
        self.others.retain(stays);
    }
}

fn step(choices: &mut Choices<'_>, world: &mut World, members: &mut Vec<Member>) {
    let name = name(choices, world);
    let made = match choices.byte() % 16 {
        0..=2 => {
            // Told to remove folders for files, GNU tar empties them for folders as well.
            if !world.folders.contains(&name) {
                world.take(&name);
                world.folders.push(name.clone());
                members.push(dressed(Member::dir(&name), choices));
            }
            return;
        }
        3 => Member::symlink(&name, target(choices)),
        4 => Member::chardev(
            &name,
            1 + u64::from(choices.byte()),
            u64::from(choices.byte()),
        ),
        5 => Member::blockdev(&name, u64::from(choices.word() % 4096), 1_048_575),
        6 => Member::fifo(&name),
        7 | 8 => {
            let Some(target) = pick(choices, &world.others) else {
                return;
            };
            // Nothing changes where a name is linked to itself.
            if target != name {
                // The removal of a folder takes the names below it, the target's perhaps.
                if target.starts_with(&format!("{name}/")) {
                    return;
                }
                world.take(&name);
                world.others.push(name.clone());
                members.push(Member::hardlink(&name, target));
            }
            return;
        }
        9 => return crowd(choices, world, members),
        10 => sparse(choices, &name),
        _ => Member::file(&name, body(choices)),
    };
    world.take(&name);
    world.others.push(name);
    members.push(dressed(made, choices));
}

fn pick(choices: &mut Choices<'_>, from: &[String]) -> Option<String> {
    (!from.is_empty()).then(|| from[choices.below(from.len())].clone())
}

fn name(choices: &mut Choices<'_>, world: &World) -> String {
    let last = match choices.byte() % 12 {
        0 => "n".repeat(255),
        1 => "m".repeat(1 + choices.below(254)),
        2 => format!("number-{}", choices.byte()),
        other => char::from(b'a' + other).to_string(),
    };
    match pick(choices, &world.folders) {
        Some(folder) if choices.byte() > 63 && folder.len() < 2000 => format!("{folder}/{last}"),
        _ => last,
    }
}

fn target(choices: &mut Choices<'_>) -> String {
    match choices.byte() % 6 {
        0 => "t".repeat(59),
        1 => "t".repeat(60),
        2 => "long/".repeat(1 + choices.below(200)),
        3 => "/etc/passwd".to_owned(),
        4 => "..".to_owned(),
        _ => "a".to_owned(),
    }
}

/// Many files in one folder: more than one block of names.
fn crowd(choices: &mut Choices<'_>, world: &mut World, members: &mut Vec<Member>) {
    let Some(folder) = pick(choices, &world.folders) else {
        return;
    };
    let (count, width) = (choices.below(256) * 4, choices.below(200));
    for i in 0..count {
        let name = format!("{folder}/crowd-{i}-{}", "w".repeat(width));
        world.take(&name);
        members.push(Member::file(&name, ""));
        world.others.push(name);
    }
}

fn length(choices: &mut Choices<'_>) -> usize {
    let around = [0, 60, 4096, 8192, 65_536, 131_072, 262_144][choices.below(7)];
    (around + choices.below(9)).saturating_sub(4)
}

fn body(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..=choices.byte() % 3 {
        // Zeros are among the fillings: long runs of them become holes.
        let (filling, length) = (choices.byte() % 4, length(choices));
        body.resize(body.len() + length, filling);
    }
    body
}

fn sparse(choices: &mut Choices<'_>, name: &str) -> Member {
    let (mut map, mut body, mut at) = (Vec::new(), Vec::new(), 0);
    for _ in 0..choices.byte() % 40 {
        at += length(choices) as u64;
        let piece = 512 * (1 + choices.below(20));
        map.push((at, piece as u64));
        body.resize(body.len() + piece, 1 + choices.byte() % 3);
        at += piece as u64;
    }
    at += length(choices) as u64;
    if map
        .last()
        .is_none_or(|(offset, length)| offset + length < at)
    {
        map.push((at, 0));
    }
    Member::pax_sparse(name.as_bytes(), &map, &body, at)
}

/// Gives a member owner, mode, time and attributes.
fn dressed(member: Member, choices: &mut Choices<'_>) -> Member {
    let what = choices.byte();
    let mut member = member;
    if what & 1 != 0 {
        member = member.mode(u64::from(choices.word() & 0o7777));
    }
    if what & 2 != 0 {
        let ids = [0, 1000, 65_535, 65_536, 4_294_967_294];
        member = member.owner(ids[choices.below(5)], ids[choices.below(5)]);
    }
    if what & 4 != 0 {
        let seconds = [
            -2_147_483_648,
            -1,
            0,
            2_147_483_647,
            4_294_967_296,
            15_032_385_534,
        ];
        let nanoseconds = choices.word() % 1_000_000_000;
        // The kernel keeps no fraction of the very first second.
        let seconds = seconds[choices.below(6)].max(i64::from(nanoseconds > 0) - 2_147_483_648);
        member = member.mtime(seconds, nanoseconds);
    }
    let mut room: usize = 3000;
    if what & 24 == 24 {
        for i in 0..choices.byte() % 8 {
            let length = choices.below(256) * usize::from(1 + choices.byte() % 4);
            let Some(left) = room.checked_sub(length + 64) else {
                break;
            };
            room = left;
            member = member.xattr(&format!("trusted.{i}"), vec![choices.byte(); length]);
        }
    }
    member
}
