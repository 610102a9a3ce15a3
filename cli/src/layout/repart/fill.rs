//! From definitions to slots: filesystems of the root filesystem's files, in partitions whose sizes follow
//! from these.

use std::sync::Arc;

use forger_block::BlockRead;
use forger_disk::Guid;
use forger_disk::partition::{Kind as PartitionKind, Part, Size as PartSize};
use forger_fs::ext4::{self, Layer, Size};
use forger_fs::fat;
use forger_fs::observe::Observer;
use forger_fs::tree::{Content, Meta, Tree, TreeSource};
use forger_fs::verity::Parameters;

use super::super::Error;
use super::definition::{Definition, Format, Verity};
use super::files::{excluded, gather, root_files};
use super::size::{Share, share_out};
use super::supplement::{give_up, merged};
use crate::assemble::{ALIGN, Fill, Slot, Type};
use crate::boot::Architecture;

/// What a partition has at least where its definition does not say so, in bytes: as with systemd-repart.
const LEAST: u64 = 10 << 20;
/// The same for a boot partition, with sectors of 512 and of 4096 bytes.
const LEAST_ESP: [u64; 2] = [100 << 20, 260 << 20];

/// What definitions are filled from.
#[derive(Clone, Debug)]
pub struct Ground<'a> {
    /// The root filesystem, as large as its content.
    pub system: &'a Arc<dyn BlockRead>,
    /// Its files.
    pub tree: &'a Tree<Content>,
    /// How filesystems are made; sizes, labels and UUIDs follow from the definitions, but those of the root
    /// filesystem.
    pub ext4: &'a ext4::Options,
    /// The root filesystem's UUID, from which others are derived.
    pub uuid: [u8; 16],
    /// Size of the disk in bytes; as small as its content when `None`.
    pub size: Option<u64>,
    /// Bytes in a sector.
    pub sector_size: u64,
    /// Whether a partition for what boots is filled with that.
    pub boots: bool,
    /// The machine, where that is known.
    pub architecture: Option<Architecture>,
}

/// What came of definitions.
#[derive(Debug)]
pub struct Filled {
    /// The partitions.
    pub slots: Vec<Slot>,
    /// The content of the root partition.
    pub root: Arc<dyn BlockRead>,
    /// What definitions put into the boot partition beside what boots.
    pub boot: Option<Tree<Content>>,
    /// The files of definitions that were given up, for want of room.
    pub given_up: Vec<String>,
}

/// Fills partitions as their definitions say; what supplements another one is merged into it, and what has
/// no room is given up by `Priority=`.
///
/// # Errors
/// What cannot be copied, made, or laid out.
pub fn fill(
    definitions: &[Definition],
    ground: &Ground<'_>,
    observer: &mut dyn Observer,
) -> Result<Filled, Error> {
    let mut definitions = definitions.to_vec();
    let mut given_up = Vec::new();
    loop {
        let error = match fill_all(&merged(&definitions)?, ground, observer) {
            Ok(filled) => return Ok(Filled { given_up, ..filled }),
            Err(error) => error,
        };
        if !matches!(error, Error::TooSmall { .. }) {
            return Err(error);
        }
        match give_up(&mut definitions) {
            files if files.is_empty() => return Err(error),
            files => given_up.extend(files),
        }
    }
}

fn fill_all(
    definitions: &[Definition],
    ground: &Ground<'_>,
    observer: &mut dyn Observer,
) -> Result<Filled, Error> {
    let mut parts = Vec::new();
    for (index, definition) in definitions.iter().enumerate() {
        parts.push(Filling::begin(
            index,
            definition,
            definitions,
            ground,
            observer,
        )?);
    }
    for (index, definition) in definitions.iter().enumerate() {
        if let Some((Verity::Hash, key)) = &definition.verity {
            let of = pair(definitions, definition, key)?;
            // Its size is that of the data, which do not grow.
            let data = parts[of].least(&definitions[of]);
            parts[of].fixed = true;
            parts[index].hashes(of, data, definition)?;
        }
    }
    let sizes = sizes(definitions, &parts, ground)?;
    let mut filled = Filled {
        slots: Vec::new(),
        root: Arc::clone(ground.system),
        boot: None,
        given_up: Vec::new(),
    };
    for ((part, definition), place) in parts.into_iter().zip(definitions).zip(sizes) {
        part.finish(definition, place, ground, &mut filled, observer)?;
    }
    Ok(filled)
}

/// Finds the partition with the data for a hash tree.
fn pair(definitions: &[Definition], hash: &Definition, key: &str) -> Result<usize, Error> {
    let mut data = definitions.iter().enumerate().filter(
        |(_, definition)| matches!(&definition.verity, Some((Verity::Data, other)) if other == key),
    );
    match (data.next(), data.next()) {
        (Some((index, _)), None) => Ok(index),
        _ => {
            let problem =
                format!("VerityMatchKey={key}: one partition with Verity=data has to have it");
            Err(Error::at(&hash.place, problem))
        }
    }
}

/// Where a partition stands, in bytes.
#[derive(Clone, Copy)]
struct Stretch {
    start: u64,
    len: u64,
}

/// Decides where partitions stand, by weight where the disk has a size.
fn sizes(
    definitions: &[Definition],
    parts: &[Filling],
    ground: &Ground<'_>,
) -> Result<Vec<Stretch>, Error> {
    let mut shares = Vec::new();
    for (part, definition) in parts.iter().zip(definitions) {
        let least = part.least(definition);
        let fixed = part.fixed || definition.minimize && part.content > 0;
        shares.push(Share {
            least,
            most: if fixed {
                least
            } else {
                definition.size[1].unwrap_or(u64::MAX)
            },
            weight: if fixed { 0 } else { definition.weights[0] },
        });
        shares.push(Share {
            least: definition.padding[0].unwrap_or(0),
            most: definition.padding[1].unwrap_or(u64::MAX),
            weight: definition.weights[1],
        });
    }
    let lens = match ground.size {
        None => shares.iter().map(|share| share.least).collect(),
        Some(size) => {
            // The copy of the table takes less than the unit in which all is laid out.
            let room = (size - size % ALIGN).saturating_sub(2 * ALIGN);
            let shared = share_out(&shares, room, ALIGN);
            shared.ok_or_else(|| {
                let leasts = shares.iter().map(|share| up(share.least, ALIGN));
                let needed = leasts.fold(2 * ALIGN, u64::saturating_add);
                Error::TooSmall { needed, size }
            })?
        }
    };
    let mut at = ALIGN;
    let stretches = lens.chunks(2).map(|pair| {
        let (len, padding) = (pair[0], pair[1]);
        let stretch = Stretch { start: at, len };
        at = up(at.saturating_add(len).saturating_add(padding), ALIGN);
        stretch
    });
    Ok(stretches.collect())
}

/// Rounds up to a multiple; what exceeds all numbers exceeds every disk as well.
fn up(value: u64, unit: u64) -> u64 {
    value
        .checked_next_multiple_of(unit)
        .unwrap_or(u64::MAX - u64::MAX % unit)
}

/// A partition while it is filled.
struct Filling {
    fill: Fill,
    format: Format,
    /// The files that go into it, where it has any.
    tree: Option<Tree<Content>>,
    /// The filesystem at the size of its content.
    smallest: Option<Arc<dyn BlockRead>>,
    /// Bytes that its content takes.
    content: u64,
    /// It is as large as its content needs.
    fixed: bool,
    uuid: Option<[u8; 16]>,
    sector_size: u64,
}

impl Filling {
    /// Gathers a partition's files and finds out how much room they need.
    fn begin(
        index: usize,
        definition: &Definition,
        all: &[Definition],
        ground: &Ground<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Self, Error> {
        let esp = definition.kind.is_esp();
        let swap = Type::named("swap").as_ref() == Some(&definition.kind);
        let root = definition.kind.is_root();
        let files = !definition.copy.is_empty()
            || !definition.folders.is_empty()
            || !definition.links.is_empty();
        let xbootldr = Type::named("xbootldr").as_ref() == Some(&definition.kind);
        let usual = match (swap, esp || xbootldr && files, root || files) {
            (true, ..) => Format::Swap,
            (_, true, _) => Format::Vfat,
            (.., true) => Format::Ext4,
            _ => Format::Empty,
        };
        let format = definition.format.unwrap_or(usual);
        let mut part = Self {
            fill: match format {
                Format::Swap => Fill::Swap,
                Format::Vfat if esp && ground.boots => Fill::Boot,
                Format::Ext4 if root => Fill::Root,
                _ => Fill::Given,
            },
            format,
            tree: None,
            smallest: None,
            content: 0,
            fixed: false,
            uuid: None,
            sector_size: ground.sector_size,
        };
        if root && part.fill != Fill::Root {
            let problem = "the root filesystem is an ext4: Format=ext4";
            return Err(Error::at(&definition.place, problem));
        }
        if matches!(format, Format::Swap | Format::Empty) {
            return match files {
                true => Err(Error::at(
                    &definition.place,
                    "files need Format=ext4 or vfat",
                )),
                false => Ok(part),
            };
        }
        let excluded = excluded(definition, all);
        if part.fill == Fill::Root && !files && excluded.is_empty() {
            part.content = ground.system.len();
            part.smallest = Some(Arc::clone(ground.system));
            return Ok(part);
        }
        part.tree = Some(gather(
            definition,
            part.fill == Fill::Root,
            &excluded,
            ground,
        )?);
        if part.fill != Fill::Root && part.fill != Fill::Boot {
            let purpose = format!("filesystem of partition {index}");
            part.uuid = Some(Guid::derived(&ground.uuid, &purpose).to_bytes());
        }
        if part.fill != Fill::Boot {
            let made = part.filesystem(definition, None, 0, ground, observer)?;
            part.content = made.len();
            part.smallest = Some(made);
        }
        Ok(part)
    }

    /// Becomes the hash tree of another partition of so many bytes.
    fn hashes(&mut self, of: usize, data: u64, definition: &Definition) -> Result<(), Error> {
        let len = Parameters::new(data, 0).and_then(|parameters| parameters.end());
        let len = len.map_err(|error| Error::at(&definition.place, error.to_string()))?;
        self.fill = Fill::Hashes(of);
        self.content = len;
        self.fixed = true;
        Ok(())
    }

    /// Returns the bytes that the partition has at least.
    fn least(&self, definition: &Definition) -> u64 {
        let usual = match (&self.fill, self.content) {
            (Fill::Boot, _) => LEAST_ESP[usize::from(self.sector_size == 4096)],
            (_, 0) => LEAST,
            _ => 0,
        };
        let asked = definition.size[0].unwrap_or(usual);
        let least = up(asked.max(self.content), 4096);
        // Of what must not be larger, as little as holds the content.
        let most = definition.size[1].map(|most| most.max(self.content));
        most.map_or(least, |most| least.min(up(most, 4096)))
    }

    /// Makes the filesystem, of so many bytes or as small as it can be.
    fn filesystem(
        &self,
        definition: &Definition,
        len: Option<u64>,
        start: u64,
        ground: &Ground<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Arc<dyn BlockRead>, Error> {
        let place = || definition.place.clone();
        let empty = Tree::new(Meta::default());
        let tree = self.tree.as_ref().unwrap_or(&empty);
        if self.format == Format::Vfat {
            let options = fat::Options {
                size: len.map_or(fat::Size::default(), fat::Size::Exact),
                sector_size: u32::try_from(ground.sector_size).unwrap_or(512),
                time: ground.ext4.time,
                hidden_sectors: u32::try_from(start / ground.sector_size).unwrap_or(0),
                ..fat::Options::default()
            };
            let made = fat::plan(tree, &options, observer);
            let (image, _) = made.map_err(|source| Error::Fat {
                place: place(),
                source: Box::new(source),
            })?;
            return Ok(Arc::new(image));
        }
        let root = self.fill == Fill::Root;
        let label = definition.label.as_ref().map(|label| label.as_bytes());
        let options = ext4::Options {
            size: match (len, ground.ext4.size) {
                (Some(len), _) => Size::Exact(len),
                (None, Size::Auto(free)) if root => Size::Auto(free),
                (None, _) => Size::Auto(ext4::Free::Default),
            },
            uuid: if root { ground.ext4.uuid } else { self.uuid },
            label: match root {
                true => ground.ext4.label.clone(),
                false => label.filter(|label| label.len() <= 16).map(<[u8]>::to_vec),
            },
            ..ground.ext4.clone()
        };
        let mut source = TreeSource::new(tree);
        let layer = Layer {
            source: &mut source,
            overlay: false,
        };
        let made = ext4::plan(&mut [layer], &options, observer);
        let (image, _) = made.map_err(|source| Error::Ext4 {
            place: place(),
            source: Box::new(source),
        })?;
        Ok(Arc::new(image))
    }

    /// Makes the slot, with its filesystem at the size that the partition has.
    fn finish(
        mut self,
        definition: &Definition,
        place: Stretch,
        ground: &Ground<'_>,
        filled: &mut Filled,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let mut content = self.smallest.take();
        if self.fill == Fill::Boot {
            filled.boot = self.tree.take();
        } else if let Some(smallest) = content.take() {
            content = Some(
                match smallest.len() < place.len || self.format == Format::Vfat {
                    false => smallest,
                    true => {
                        if self.tree.is_none() {
                            let whole = root_files(ground)?;
                            self.tree = Some(whole);
                        }
                        self.filesystem(definition, Some(place.len), place.start, ground, observer)?
                    }
                },
            );
        }
        if self.fill == Fill::Root {
            filled.root = content.take().unwrap_or_else(|| Arc::clone(ground.system));
        }
        let guid = definition.kind.guid(ground.architecture);
        let usual = || PartitionKind::Gpt(guid).name().unwrap_or_default();
        filled.slots.push(Slot {
            kind: definition.kind.clone(),
            part: Part {
                name: definition.label.clone().unwrap_or_else(usual),
                guid: definition.uuid,
                attributes: definition.attributes,
                size: PartSize::Bytes(place.len),
                start: Some(place.start),
                content,
                ..Part::default()
            },
            fill: self.fill,
        });
        Ok(())
    }
}
