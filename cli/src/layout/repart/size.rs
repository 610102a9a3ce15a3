//! How room is shared out: by weight, between a least and a most.

/// Something that takes room: a partition, or what is kept free behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// What it takes at least, in bytes.
    pub(super) least: u64,
    /// What it takes at most, in bytes.
    pub(super) most: u64,
    /// Which part of the room that is left it gets.
    pub(super) weight: u64,
}

/// Shares `room` bytes out, in whole units of `unit` bytes; `None` where not even the least fits.
///
/// As systemd-repart does: what would get less than its least gets that, then what would get more than its
/// most gets that, and each time the others share what is left.
pub(super) fn share_out(shares: &[Share], room: u64, unit: u64) -> Option<Vec<u64>> {
    let least = |share: &Share| share.least.checked_next_multiple_of(unit);
    let mut sizes = shares.iter().map(least).collect::<Option<Vec<u64>>>()?;
    let total = sizes
        .iter()
        .try_fold(0_u64, |sum, len| sum.checked_add(*len))?;
    if total > room {
        return None;
    }
    let mut open: Vec<usize> = (0..shares.len())
        .filter(|index| shares[*index].weight > 0)
        .collect();
    loop {
        let closed = |index: &usize| !open.contains(index);
        let taken: u64 = (0..shares.len())
            .filter(closed)
            .map(|index| sizes[index])
            .sum();
        let weights: u64 = open.iter().map(|index| shares[*index].weight).sum();
        let share = |index: usize| {
            let part = u128::from(room - taken) * u128::from(shares[index].weight);
            u64::try_from(part / u128::from(weights.max(1))).unwrap_or(u64::MAX)
        };
        let low = |index: &usize| share(*index) < sizes[*index];
        let high = |index: &usize| share(*index) > shares[*index].most.max(sizes[*index]);
        if let Some(at) = open.iter().position(low) {
            open.remove(at);
        } else if let Some(at) = open.iter().position(high) {
            let index = open.remove(at);
            let most = shares[index].most - shares[index].most % unit;
            sizes[index] = most.max(sizes[index]);
        } else {
            let given: Vec<u64> = open.iter().map(|index| share(*index)).collect();
            for (index, len) in open.into_iter().zip(given) {
                sizes[index] = (len - len % unit).max(sizes[index]);
            }
            return Some(sizes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(least: u64, most: u64, weight: u64) -> Share {
        Share {
            least,
            most,
            weight,
        }
    }

    #[test]
    fn room_goes_by_weight_within_bounds() {
        let free = |weight| share(0, u64::MAX, weight);
        assert_eq!(
            share_out(&[free(1000), free(3000)], 400, 10),
            Some(vec![100, 300])
        );
        // The least of one, the most of another, and the rest.
        let shares = [share(250, u64::MAX, 1000), share(0, 20, 1000), free(1000)];
        assert_eq!(share_out(&shares, 400, 10), Some(vec![250, 20, 130]));
        // Without weight it gets its least.
        assert_eq!(
            share_out(&[share(30, 90, 0), free(1)], 100, 10),
            Some(vec![30, 70])
        );
        assert_eq!(
            share_out(&[share(60, 90, 1), share(60, 90, 1)], 100, 10),
            None
        );
        assert_eq!(share_out(&[], 100, 10), Some(vec![]));
        let huge = share(u64::MAX, u64::MAX, 1);
        assert_eq!(share_out(&[huge, huge], u64::MAX, 4096), None);
    }

    #[test]
    fn sizes_are_whole_units_that_fit() {
        for room in (100_u64..2000).step_by(77) {
            let shares = [share(7, 300, 3), share(11, u64::MAX, 5), share(0, 64, 1000)];
            let sizes = share_out(&shares, room, 8).unwrap();
            assert!(sizes.iter().all(|len| len % 8 == 0));
            assert!(sizes.iter().sum::<u64>() <= room, "{room}: {sizes:?}");
            assert!(sizes[0] <= 300 && sizes[0] >= 7);
        }
    }
}
