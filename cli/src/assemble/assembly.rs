//! Fills the partitions of a disk, each when what it needs to know is known.

use std::sync::Arc;

use forger_block::BlockRead;
use forger_disk::partition::{Label, Layout, Partition, Size as PartSize, Table};
use forger_disk::{Guid, swap};
use forger_fs::ext4::Image;
use forger_fs::observe::Observer;
use forger_fs::tree::{INLINE_LIMIT, Meta, Policy, Tree, TreeSource};

use super::{ALIGN, Disk, Error, Fill, FindRoot, Options, esp, hashes};
use crate::boot::{self, Architecture, Kernel};
use crate::partition::select;

/// A disk that is being assembled.
pub(super) struct Assembly<'a> {
    options: &'a Options,
    system: Image,
    layout: Layout,
    root: usize,
    architecture: Option<Architecture>,
    /// The partitions as they stand before they are filled.
    table: Table,
    root_hash: Option<String>,
    /// `usrhash=`, where there is a hash tree of /usr.
    usr_hash: Option<String>,
}

impl<'a> Assembly<'a> {
    /// Decides where everything stands.
    pub(super) fn start(
        root: &Arc<dyn BlockRead>,
        system: &Arc<dyn BlockRead>,
        options: &'a Options,
    ) -> Result<Self, Error> {
        let image = Image::open(Arc::clone(root)).map_err(Error::Root)?;
        let system = Image::open(Arc::clone(system)).map_err(Error::Root)?;
        let uuid = image.superblock().uuid();
        let roots = options.slots.iter().filter(|slot| slot.fill == Fill::Root);
        let (Some(at), 1) = (options.root(), roots.count()) else {
            let roots = options.slots.iter().filter(|slot| slot.fill == Fill::Root);
            return Err(Error::Roles {
                what: "root partitions",
                count: roots.count(),
            });
        };
        let mut layout = options.layout();
        layout.seed = [&uuid[..], &options.sector_size.to_le_bytes()].concat();
        if !matches!(layout.parts[at].size, PartSize::Bytes(_)) {
            layout.parts[at].size = PartSize::Bytes(root.len().next_multiple_of(ALIGN));
        }
        layout.parts[at].content = Some(Arc::clone(root));
        options.hash_sizes(&mut layout)?;
        let architecture = match (options.architecture, Architecture::of(&system)) {
            (Some(architecture), _) | (None, Ok(architecture)) => Some(architecture),
            (None, Err(error)) if options.loader.is_some() => return Err(error.into()),
            (None, Err(_)) => None,
        };
        for (slot, part) in options.slots.iter().zip(&mut layout.parts) {
            part.kind = slot.kind.guid(architecture);
            part.byte = slot.kind.byte();
        }
        let table = layout.plan()?.table;
        for word in &options.hybrid {
            layout.hybrid.push(select(&table, word)?.number);
        }
        Ok(Self {
            options,
            system,
            layout,
            root: at,
            architecture,
            table,
            root_hash: None,
            usr_hash: None,
        })
    }

    /// Fills the partitions: hash trees before what boots, which says their root hash.
    pub(super) fn finish(mut self, observer: &mut dyn Observer) -> Result<Disk, Error> {
        for (index, slot) in self.options.slots.iter().enumerate() {
            match slot.fill {
                Fill::Swap => self.swap(index)?,
                Fill::Hashes(of) => self.hashes(index, of, observer)?,
                Fill::Given | Fill::Boot | Fill::Root => {}
            }
        }
        let root = self.partuuid();
        let cmdline = self.cmdline(&root);
        let kernels = self.boot(&cmdline, observer)?;
        let planned = self.layout.plan()?;
        Ok(Disk {
            image: planned.image,
            table: planned.table,
            kernels,
            cmdline,
            architecture: self.architecture,
            root_hash: self.root_hash,
            layout: self.layout,
            root_at: self.root,
        })
    }

    /// Returns a partition before it is filled.
    fn partition(&self, index: usize) -> &Partition {
        &self.table.partitions[self.layout.index(index)]
    }

    /// Returns by what the kernel finds the root partition.
    fn partuuid(&mut self) -> String {
        if self.layout.label != Label::Gpt {
            let root = self.partition(self.root);
            return self.table.partuuid(root).unwrap_or_default();
        }
        let seed = &self.layout.seed;
        let guid = &mut self.layout.parts[self.root].guid;
        let guid = guid.get_or_insert_with(|| Guid::derived(seed, "root partition"));
        guid.to_string()
    }

    fn swap(&mut self, index: usize) -> Result<(), Error> {
        let len = self.partition(index).len;
        let part = &mut self.layout.parts[index];
        let uuid = Guid::derived(&self.layout.seed, &format!("swap area {index}"));
        // Its label is the partition's name, where that fits.
        let label = if part.name.len() > 16 { "" } else { &part.name };
        let area = swap(len, uuid, label);
        let area = area.map_err(|source| Error::Swap {
            name: part.name.clone(),
            source,
        })?;
        part.content = Some(Arc::new(area));
        Ok(())
    }

    fn hashes(
        &mut self,
        index: usize,
        of: usize,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let Some(data) = self.layout.parts.get(of) else {
            return Err(Error::Roles {
                what: "partitions for a hash tree",
                count: 0,
            });
        };
        let len = self.partition(of).len;
        let made = hashes::of(data, len, self.options.threads, observer)?;
        for (index, guid) in [of, index].into_iter().zip(made.guids()) {
            let part = &mut self.layout.parts[index];
            if let Some(other) = part.guid.replace(guid)
                && other != guid
            {
                return Err(Error::FixedGuid {
                    name: part.name.clone(),
                    guid: other,
                });
            }
        }
        self.layout.parts[index].content = Some(made.area);
        let hash = Some(made.root.to_string());
        match of == self.root {
            true => self.root_hash = hash,
            false => self.usr_hash = hash,
        }
        Ok(())
    }

    /// Returns the kernels' command line.
    fn cmdline(&self, root: &str) -> String {
        let mut words = match (&self.root_hash, self.options.root) {
            (Some(hash), FindRoot::PartUuid) => {
                format!("roothash={hash} root=/dev/mapper/root ro")
            }
            (Some(hash), FindRoot::Discoverable) => format!("roothash={hash} ro"),
            (None, FindRoot::PartUuid) => format!("root=PARTUUID={root} rw"),
            (None, FindRoot::Discoverable) => "rw".to_owned(),
        };
        if let Some(hash) = &self.usr_hash {
            words.push_str(&format!(" usrhash={hash}"));
        }
        if !self.options.cmdline.is_empty() {
            words.push(' ');
            words.push_str(&self.options.cmdline);
        }
        words
    }

    /// Fills the boot partition; returns the kernels in it.
    fn boot(&mut self, cmdline: &str, observer: &mut dyn Observer) -> Result<Vec<Kernel>, Error> {
        let slots = self.options.slots.iter().enumerate();
        let boots = slots.filter(|(_, slot)| slot.fill == Fill::Boot);
        let boots: Vec<usize> = boots.map(|(index, _)| index).collect();
        let index = match (&boots[..], self.options.loader) {
            ([], None) => return Ok(Vec::new()),
            ([index], _) => *index,
            _ => {
                return Err(Error::Roles {
                    what: "boot partitions",
                    count: boots.len(),
                });
            }
        };
        let time = self.system.superblock().made();
        let (mut tree, kernels) = match (self.options.loader, self.architecture) {
            (Some(loader), Some(architecture)) => {
                let options = boot::Options {
                    loader,
                    architecture,
                    cmdline: cmdline.to_owned(),
                    stub: self.options.stub.clone(),
                    systemd_boot: self.options.systemd_boot.clone(),
                    initrds: self.options.initrds.clone(),
                    own_initrd: self.options.own_initrd.clone(),
                    time,
                };
                let boot = boot::plan(&self.system, &options)?;
                (boot.tree, boot.kernels)
            }
            _ => (Tree::new(Meta::default()), Vec::new()),
        };
        if let Some(files) = &self.options.boot_files {
            let mut files = TreeSource::new(files);
            tree.add(&mut files, Policy::default(), INLINE_LIMIT)
                .map_err(Error::BootFiles)?;
        }
        let place = self.partition(index).clone();
        let sector = self.options.sector_size;
        esp::size(Some(place.len), sector)?;
        let image = esp::make(&tree, place.len, place.start, sector, time, observer)?;
        self.layout.parts[index].content = Some(image);
        Ok(kernels)
    }
}
