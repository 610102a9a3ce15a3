use super::*;
use crate::{SparseImage, conformance};

fn base() -> Vec<u8> {
    (0..=250).cycle().take(70_001).collect()
}

fn overlays(limit: u64) -> [Overlay; 2] {
    let folder = tempfile::tempdir().unwrap();
    let file = ScratchFile::create_in(folder.path()).unwrap();
    let base: Arc<dyn BlockRead> = Arc::new(base());
    [
        Overlay::in_memory(Arc::clone(&base), limit),
        Overlay::in_file(base, file, limit),
    ]
}

#[test]
fn overlays_keep_the_contract_of_a_store() {
    for overlay in overlays(16 << 20) {
        conformance::store(&overlay, base());
    }
    let [memory, _] = overlays(16 << 20);
    let mut expected = base();
    expected.resize(100_000, 0);
    conformance::store(&memory.with_len(100_000).unwrap(), expected);
}

#[test]
fn the_base_stays_as_it_is_and_changes_are_listed() {
    for overlay in overlays(1 << 20) {
        overlay.write_at(5000, &[7; 100]).unwrap();
        overlay.erase(5050, 10_000).unwrap();
        overlay.write_at(6000, b"again").unwrap();
        assert_eq!(
            overlay.changes(),
            [
                (5000..5050, true),
                (5050..6000, false),
                (6000..6005, true),
                (6005..15_050, false)
            ]
        );
        conformance::reader(overlay.base(), &base());
        assert_eq!(overlay.run_at(6005).unwrap(), Run::Hole(9045));
    }
}

#[test]
fn a_limit_bounds_what_is_kept_and_erasing_gives_room_back() {
    for overlay in overlays(40_000) {
        overlay.write_at(0, &[1; 30_000]).unwrap();
        let full = overlay.write_at(40_000, &[1; 20_000]).unwrap_err();
        assert!(matches!(full, Error::Full { limit: 40_000 }), "{full:?}");
        let mut untouched = [0; 1];
        overlay.read_at(40_000, &mut untouched).unwrap();
        assert_eq!(untouched[0], base()[40_000]);
        // Over what is there already nothing more is needed.
        overlay.write_at(100, &[2; 20_000]).unwrap();
        overlay.erase(0, 30_000).unwrap();
        overlay.write_at(40_000, &[1; 20_000]).unwrap();
        assert!(overlay.used() <= 40_000);
    }
}

#[test]
fn single_bytes_far_apart_count_with_what_they_cost() {
    let holes = SparseImage::builder().finish(1 << 40).unwrap();
    let overlay = Overlay::in_memory(Arc::new(holes), 1 << 20);
    let mut taken = 0;
    while overlay.write_at(taken << 13, &[1]).is_ok() {
        taken += 1;
    }
    assert!((200..260).contains(&taken), "{taken}");
    let holes = SparseImage::builder().finish(1 << 40).unwrap();
    let overlay = Overlay::in_memory(Arc::new(holes), 1 << 20);
    let mut erased = 0;
    while overlay.erase(erased << 13, 1).is_ok() {
        erased += 1;
    }
    assert!((10_000..12_000).contains(&erased), "{erased}");
}

#[test]
fn a_shorter_overlay_than_its_base_is_refused() {
    let [memory, _] = overlays(1);
    assert!(memory.with_len(70_000).is_err());
}
