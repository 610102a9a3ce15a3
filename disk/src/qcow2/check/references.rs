//! How often clusters are referred to, counted.

use std::collections::BTreeMap;

use super::super::error::ReadError;

/// Clusters that one page counts.
pub(super) const PAGE: u64 = 64;

/// Pages that are kept at most: 1.5 GiB of memory, enough for an image of 16 TiB without holes.
const MAX_PAGES: usize = 4 << 20;

/// What a cluster is used for, beside the number of references.
const METADATA: u32 = 1 << 31;

/// The references to each cluster of a file, by pages.
#[derive(Default)]
pub(super) struct References {
    pages: BTreeMap<u64, Box<[u32; 64]>>,
}

/// What became of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// It was counted.
    Fine,
    /// It was counted, and there is something else that must not be there.
    Overlap,
}

impl References {
    /// Counts references to a cluster, which holds a structure of its own or data.
    ///
    /// # Errors
    /// When there are too many clusters to count.
    pub(super) fn add(
        &mut self,
        cluster: u64,
        times: u32,
        metadata: bool,
    ) -> Result<Counted, ReadError> {
        let page = cluster / PAGE;
        if self.pages.len() >= MAX_PAGES && !self.pages.contains_key(&page) {
            return Err(ReadError::Unsupported {
                what: "an image of so many clusters, spread so far,".to_owned(),
            });
        }
        let counts = self.pages.entry(page).or_insert_with(|| Box::new([0; 64]));
        let at = usize::try_from(cluster % PAGE).unwrap_or(0);
        let Some(count) = counts.get_mut(at) else {
            return Ok(Counted::Fine);
        };
        let old = *count & !METADATA;
        let was_metadata = *count & METADATA != 0;
        let overlap = old > 0 && (metadata || was_metadata);
        let flag = if metadata {
            METADATA
        } else {
            *count & METADATA
        };
        *count = old.saturating_add(times).min(METADATA.wrapping_sub(1)) | flag;
        Ok(if overlap {
            Counted::Overlap
        } else {
            Counted::Fine
        })
    }

    /// Returns the references to each cluster of a page.
    pub(super) fn page(&self, page: u64) -> [u32; 64] {
        self.pages
            .get(&page)
            .map_or([0; 64], |counts| counts.map(|count| count & !METADATA))
    }

    /// Returns the cluster behind the last one that is referred to.
    pub(super) fn end(&self) -> u64 {
        let Some((page, counts)) = self.pages.last_key_value() else {
            return 0;
        };
        let used = counts.iter().rposition(|count| *count != 0);
        let used = used.map_or(0, |last| last.saturating_add(1));
        page.saturating_mul(PAGE)
            .saturating_add(u64::try_from(used).unwrap_or(0))
    }

    /// Returns the pages that count anything, from one on.
    pub(super) fn pages_from(&self, page: u64) -> impl Iterator<Item = u64> {
        self.pages.range(page..).map(|(page, _)| *page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_counted_and_structures_are_alone() {
        let mut references = References::default();
        let mut add = |cluster, times, metadata| references.add(cluster, times, metadata).unwrap();
        assert_eq!(add(70, 1, false), Counted::Fine);
        assert_eq!(add(70, 2, false), Counted::Fine);
        assert_eq!(add(70, 1, true), Counted::Overlap);
        assert_eq!(add(71, 1, true), Counted::Fine);
        assert_eq!(add(71, 1, false), Counted::Overlap);
        assert_eq!(references.page(1)[6..8], [4, 2]);
        assert_eq!(references.page(0), [0; 64]);
        assert!(references.pages_from(0).eq([1]));
        assert_eq!(references.end(), 72);
        assert_eq!(References::default().end(), 0);
    }
}
