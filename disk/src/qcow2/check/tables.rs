//! The L1 tables of the active state and of the snapshots, and all L2 tables.

use std::collections::BTreeMap;
use std::fmt;

use forger_block::Run;

use super::super::entry::{self, Cluster};
use super::super::error::{Place, ReadError};
use super::super::header::MAX_L1_LEN;
use super::super::image::words;
use super::Check;
use crate::padded::{padded_run, read_padded};

/// Bits of an L1 entry that mean nothing.
const L1_RESERVED: u64 = 0x7f00_0000_0000_01ff;

/// Bits of an L2 entry that mean nothing, beside the one for zeros.
const L2_RESERVED: u64 = 0x3f00_0000_0000_01fe;

/// Who refers to an L2 table.
#[derive(Default)]
struct User {
    /// The first one's table, and the entry there.
    first: Option<(Owner, u64)>,
    /// The active L1 table's entry.
    active: Option<u64>,
    times: u32,
}

/// Whose L1 table it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Active,
    Snapshot(u32),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => f.write_str("the L1 table"),
            Self::Snapshot(number) => write!(f, "the L1 table of {}", Place::Snapshot(*number)),
        }
    }
}

/// L2 tables by their offset.
type Users = BTreeMap<u64, User>;

impl Check<'_> {
    /// Walks all tables, each L2 table once.
    pub(super) fn tables(&mut self) -> Result<(), ReadError> {
        let mut users = Users::new();
        let header = self.header;
        self.l1(
            Owner::Active,
            header.l1_table_offset,
            header.l1_size,
            &mut users,
        )?;
        // Tables that stand apart are not longer than the file.
        let mut left = self.file.len().max(MAX_L1_LEN);
        for (number, snapshot) in (0..).zip(&header.snapshots) {
            let len = snapshot.l1_size.saturating_mul(8);
            let place = Place::Snapshot(number);
            if header.version >= 3 && snapshot.extra_len < 16 {
                self.report
                    .error(place, "its entry lacks what version 3 wants to know");
            }
            let aligned = snapshot.l1_table_offset.is_multiple_of(header.cluster_size);
            if !aligned || len > MAX_L1_LEN || len > left {
                let offset = snapshot.l1_table_offset;
                self.report.error(
                    place,
                    format!("its L1 table cannot stand at offset {offset} with {len} bytes"),
                );
                continue;
            }
            left = left.saturating_sub(len);
            let owner = Owner::Snapshot(number);
            self.l1(
                owner,
                snapshot.l1_table_offset,
                snapshot.l1_size,
                &mut users,
            )?;
        }
        for (offset, user) in users {
            self.l2(offset, &user)?;
        }
        Ok(())
    }

    /// Reads an L1 table and notes the L2 tables that it uses.
    fn l1(
        &mut self,
        owner: Owner,
        offset: u64,
        entries: u64,
        users: &mut Users,
    ) -> Result<(), ReadError> {
        let len = entries.saturating_mul(8);
        self.refer(&owner, offset, len, 1, true)?;
        // 32 MiB at most.
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        read_padded(self.file, offset, &mut bytes)?;
        for (index, word) in (0_u64..).zip(words(&bytes)) {
            let place = format!("entry {index} of {owner}");
            if word & L1_RESERVED != 0 {
                self.report
                    .error(&place, format!("reserved bits are set: 0x{word:016x}"));
            }
            let table = word & entry::OFFSET;
            if table == 0 {
                if word != 0 {
                    self.report.error(
                        &place,
                        format!("it has no L2 table, but flags: 0x{word:016x}"),
                    );
                }
                continue;
            }
            if !table.is_multiple_of(self.header.cluster_size) {
                let damage = format!("the L2 table at offset {table} does not begin a cluster");
                self.report.error(&place, damage);
                self.refer(&place, table, self.header.cluster_size, 1, true)?;
                continue;
            }
            let user = users.entry(table).or_default();
            user.times = user.times.saturating_add(1);
            user.first = user.first.or(Some((owner, index)));
            if owner != Owner::Active {
                continue;
            }
            if user.active.is_some() {
                let damage = format!("the L2 table at offset {table} is used twice");
                self.report.error(&place, damage);
            }
            user.active = Some(index);
            self.copied(&place, "L2 table", table, word)?;
        }
        Ok(())
    }

    /// Checks the entries of an L2 table.
    fn l2(&mut self, offset: u64, user: &User) -> Result<(), ReadError> {
        let cluster = self.header.cluster_size;
        let (owner, index) = user.first.unwrap_or((Owner::Active, 0));
        let what = format!("the L2 table of entry {index} of {owner}");
        self.refer(&what, offset, cluster, user.times, true)?;
        if offset >= self.file.len()
            || padded_run(self.file, offset, cluster)? == Run::Hole(cluster)
        {
            return Ok(());
        }
        let mut bytes = vec![0; usize::try_from(cluster).unwrap_or(0)];
        read_padded(self.file, offset, &mut bytes)?;
        let words = words(&bytes);
        let width = if self.header.extended_l2 { 2 } else { 1 };
        let reach = self.header.l2_reach();
        let start = user.active.unwrap_or(index).saturating_mul(reach);
        for (number, entry) in (0_u64..).zip(words.chunks_exact(width)) {
            let (word, bitmap) = match *entry {
                [word, bitmap] => (word, bitmap),
                [word] => (word, 0),
                _ => (0, 0),
            };
            if word == 0 && bitmap == 0 {
                continue;
            }
            let guest = start.saturating_add(number.saturating_mul(cluster));
            let place = InTable {
                guest,
                snapshot: match (user.active, owner) {
                    (None, Owner::Snapshot(number)) => Some(number),
                    _ => None,
                },
            };
            self.entry(place, word, bitmap, user)?;
        }
        Ok(())
    }

    /// Checks one entry of an L2 table.
    fn entry(
        &mut self,
        place: InTable,
        word: u64,
        bitmap: u64,
        user: &User,
    ) -> Result<(), ReadError> {
        if word & entry::COMPRESSED != 0 {
            return self.compressed(place, word, bitmap, user);
        }
        let extended = self.header.extended_l2;
        let reserved = match extended || self.header.version < 3 {
            true => L2_RESERVED | entry::ZERO,
            false => L2_RESERVED,
        };
        if word & reserved != 0 {
            self.report
                .error(place, format!("reserved bits are set: 0x{word:016x}"));
        }
        let offset = word & entry::OFFSET;
        let elsewhere = self.header.data_file.is_some();
        let allocated = offset != 0 || elsewhere && word & entry::COPIED != 0;
        let both = bitmap.checked_shr(32).unwrap_or(0) & bitmap;
        let without = !allocated && bitmap & 0xffff_ffff != 0;
        if extended && (both != 0 || without) {
            let damage = format!("the subclusters contradict each other: 0x{bitmap:016x}");
            self.report.error(place, damage);
        }
        if !allocated {
            return Ok(());
        }
        if !offset.is_multiple_of(self.header.cluster_size) {
            let damage = format!("the cluster at offset {offset} does not begin a cluster");
            self.report.error(place, damage);
        }
        if elsewhere {
            if user.active.is_some() && word & entry::COPIED == 0 {
                self.report
                    .error(place, "a cluster of a data file is marked as shared");
            }
            return Ok(());
        }
        self.refer(&place, offset, self.header.cluster_size, user.times, false)?;
        if user.active.is_some() {
            self.copied(&place, "cluster", offset, word)?;
        }
        Ok(())
    }

    fn compressed(
        &mut self,
        place: InTable,
        word: u64,
        bitmap: u64,
        user: &User,
    ) -> Result<(), ReadError> {
        if word & entry::COPIED != 0 {
            self.report
                .error(place, "a compressed cluster is marked as not shared");
        }
        if self.header.data_file.is_some() {
            self.report
                .error(place, "a compressed cluster cannot be in a data file");
            return Ok(());
        }
        if bitmap != 0 {
            let damage = format!("a compressed cluster has subclusters: 0x{bitmap:016x}");
            self.report.error(place, damage);
            return Ok(());
        }
        let cluster = entry::compressed(word, self.header.cluster_bits);
        if let Cluster::Compressed { offset, len } = cluster {
            if offset >= self.file.len() {
                let size = self.file.len();
                let damage = format!("it would stand at offset {offset} in a file of {size} bytes");
                self.report.error(place, damage);
                return Ok(());
            }
            self.refer(&place, offset, len, user.times, false)?;
        }
        Ok(())
    }

    /// Checks that what is marked as referred to once is counted once, and the other way round.
    fn copied(
        &mut self,
        place: &dyn fmt::Display,
        what: &str,
        offset: u64,
        word: u64,
    ) -> Result<(), ReadError> {
        let cluster = offset
            .checked_shr(self.header.cluster_bits)
            .unwrap_or(u64::MAX);
        let Some(refcount) = self.refcounts.of(self.file, cluster)? else {
            return Ok(());
        };
        if (refcount == 1) != (word & entry::COPIED != 0) {
            let marked = match word & entry::COPIED != 0 {
                true => "not shared",
                false => "shared",
            };
            self.report.error(
                place,
                format!("its {what} is marked as {marked}, but has a refcount of {refcount}"),
            );
        }
        Ok(())
    }
}

/// Where an L2 entry stands.
#[derive(Clone, Copy)]
struct InTable {
    guest: u64,
    /// Where only a snapshot has it.
    snapshot: Option<u32>,
}

impl fmt::Display for InTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.snapshot {
            write!(f, "{}: ", Place::Snapshot(number))?;
        }
        fmt::Display::fmt(&Place::L2(self.guest), f)
    }
}
