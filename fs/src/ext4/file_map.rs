//! Where a file's content is: its size, its extents, and the digest that the image's uuid takes in.

use super::units::Extent;

/// The content of a file as ingest placed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileMap {
    /// Length in bytes, holes included.
    pub(crate) size: u64,
    /// XXH3-128 of the stored blocks in file order.
    pub(crate) digest: u128,
    extents: Extents,
}

/// Most files are one extent; it costs no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Extents {
    #[default]
    None,
    One(Extent),
    Many(Box<[Extent]>),
}

impl FileMap {
    /// Joins what ingest found out about a content.
    pub(crate) fn new(size: u64, digest: u128, extents: &[Extent]) -> Self {
        let extents = match extents {
            [] => Extents::None,
            [one] => Extents::One(*one),
            many => Extents::Many(many.into()),
        };
        Self {
            size,
            digest,
            extents,
        }
    }

    /// Returns the extents in file order; what lies between them is a hole.
    pub(crate) fn extents(&self) -> &[Extent] {
        match &self.extents {
            Extents::None => &[],
            Extents::One(one) => std::slice::from_ref(one),
            Extents::Many(many) => many,
        }
    }

    /// Returns the number of blocks that the content takes.
    pub(crate) fn blocks(&self) -> u64 {
        self.extents()
            .iter()
            .map(|extent| u64::from(extent.len))
            .sum()
    }
}
