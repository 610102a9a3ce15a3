use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Barrier;

use super::*;

const KEEPINGS: [Keeping; 2] = [Keeping::Best, Keeping::Hidden];

const FORCE: Publish = Publish {
    force: true,
    sync: true,
};

fn new() -> Publish {
    Publish::default()
}

/// Writes `text` to `path` in the whole way.
fn put(path: &Path, text: &str, keeping: Keeping, publish: Publish) -> Result<()> {
    let file = PendingFile::for_target_kept(path, keeping)?;
    file.write_at(0, text.as_bytes())?;
    file.publish(publish)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_published_file_is_whole_and_alone() {
    for keeping in KEEPINGS {
        for sync in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            let file = PendingFile::for_target_kept(&path, keeping).unwrap();
            file.write_at(5, b"later").unwrap();
            file.write_at(0, b"first").unwrap();
            let mut back = [0; 10];
            file.read_at(0, &mut back).unwrap();
            assert_eq!(&back, b"firstlater");
            assert!(!path.exists(), "{keeping:?}");
            file.publish(Publish { force: false, sync }).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"firstlater");
            assert_eq!(names(folder.path()), ["file"], "{keeping:?}");
        }
    }
}

#[test]
fn an_unnamed_file_is_used_where_the_filesystem_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = PendingFile::in_folder(folder.path()).unwrap();
    if file.temporary.is_some() {
        eprintln!("skipped: no unnamed files in {}", folder.path().display());
        return;
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_dropped_file_leaves_nothing() {
    for keeping in KEEPINGS {
        let folder = tempfile::tempdir().unwrap();
        let file = PendingFile::for_target_kept(&folder.path().join("file"), keeping).unwrap();
        file.write_at(0, &[1; 100_000]).unwrap();
        drop(file);
        assert!(names(folder.path()).is_empty(), "{keeping:?}");
    }
}

#[test]
fn an_existing_file_stays_without_force_also_when_it_came_late() {
    for keeping in KEEPINGS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = PendingFile::for_target_kept(&path, keeping).unwrap();
        fs::write(&path, "other").unwrap();
        let error = file.publish(new()).unwrap_err();
        assert!(matches!(error, Error::Exists { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("{} exists", path.display()));
        assert_eq!(fs::read(&path).unwrap(), b"other");
        assert_eq!(names(folder.path()), ["file"], "{keeping:?}");
    }
}

#[test]
fn linking_itself_refuses_to_replace() {
    for keeping in KEEPINGS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = PendingFile::for_target_kept(&path, keeping).unwrap();
        fs::write(&path, "other").unwrap();
        let result = file.link_new("file".as_ref());
        assert_eq!(result, Err(rustix::io::Errno::EXIST), "{keeping:?}");
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"other");
        assert_eq!(names(folder.path()), ["file"]);
    }
}

#[test]
fn where_renaming_could_replace_a_hidden_file_is_linked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let file = PendingFile::hidden_for_target(&path).unwrap();
    file.write_at(0, b"text").unwrap();
    let hidden = file.temporary.clone().unwrap();
    fs::write(folder.path().join("other"), "other").unwrap();
    let taken = file.link_hidden(&hidden, "other".as_ref());
    assert_eq!(taken, Err(rustix::io::Errno::EXIST));
    file.link_hidden(&hidden, "file".as_ref()).unwrap();
    drop(file);
    assert_eq!(fs::read(&path).unwrap(), b"text");
    assert_eq!(names(folder.path()), ["file", "other"]);
}

#[test]
fn force_replaces_the_file_and_keeps_its_mode() {
    for keeping in KEEPINGS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "a longer old text").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o4640)).unwrap();
        let mut old = fs::File::open(&path).unwrap();
        put(&path, "new", keeping, FORCE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let mode = fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o640, "{keeping:?}");
        assert_eq!(names(folder.path()), ["file"], "{keeping:?}");
        // Whoever has the old file open still reads the old file.
        let mut text = String::new();
        std::io::Read::read_to_string(&mut old, &mut text).unwrap();
        assert_eq!(text, "a longer old text");
    }
}

#[test]
fn root_replaces_a_file_without_taking_it_from_its_owner() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root gives files away");
        return;
    }
    for keeping in KEEPINGS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::chown(&path, Some(1234), Some(5678)).unwrap();
        put(&path, "new", keeping, FORCE).unwrap();
        let new = fs::metadata(&path).unwrap();
        assert_eq!((new.uid(), new.gid(), new.len()), (1234, 5678, 3));
    }
}

#[test]
fn force_makes_a_new_file_too() {
    for keeping in KEEPINGS {
        let folder = tempfile::tempdir().unwrap();
        put(&folder.path().join("file"), "new", keeping, FORCE).unwrap();
        assert_eq!(names(folder.path()), ["file"], "{keeping:?}");
    }
}

#[test]
fn a_directory_is_not_replaced_by_force() {
    for keeping in KEEPINGS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = PendingFile::for_target_kept(&path, keeping).unwrap();
        fs::create_dir(&path).unwrap();
        file.publish(FORCE).unwrap_err();
        assert_eq!(names(folder.path()), ["file"], "{keeping:?}");
    }
}

#[test]
fn a_new_file_has_the_mode_of_any_new_file() {
    for keeping in KEEPINGS {
        let folder = tempfile::tempdir().unwrap();
        let (ours, usual) = (folder.path().join("ours"), folder.path().join("usual"));
        fs::write(&usual, "").unwrap();
        put(&ours, "", keeping, new()).unwrap();
        let mode = |path| fs::metadata(path).unwrap().mode();
        assert_eq!(mode(&ours), mode(&usual), "{keeping:?}");
    }
}

#[test]
fn a_hidden_file_is_private_until_it_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let _file = PendingFile::hidden_for_target(&folder.path().join("file")).unwrap();
    let hidden = fs::read_dir(folder.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(hidden.metadata().unwrap().mode() & 0o777, 0o600);
    assert!(hidden.file_name().as_encoded_bytes().starts_with(b"."));
}

#[test]
fn a_symlink_is_followed_and_stays() {
    for keeping in KEEPINGS {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        fs::create_dir(&there).unwrap();
        let link = folder.path().join("link");
        for target in [
            PathBuf::from("there/file"),
            there.join("file"),
            PathBuf::from("./there/../there/again"),
        ] {
            symlink(&target, &link).unwrap();
            symlink("../there/file", there.join("again")).unwrap();
            // First to nothing, then to a file.
            put(&link, "one", keeping, new()).unwrap();
            let error = put(&link, "two", keeping, new()).unwrap_err();
            assert!(matches!(&error, Error::Exists { path } if Path::new(path) == link));
            put(&link, "three", keeping, FORCE).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), target);
            assert_eq!(fs::read(there.join("file")).unwrap(), b"three");
            assert_eq!(names(&there), ["again", "file"]);
            for name in [&link, &there.join("file"), &there.join("again")] {
                fs::remove_file(name).unwrap();
            }
        }
    }
}

#[test]
fn symlinks_in_a_circle_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    symlink("b", folder.path().join("a")).unwrap();
    symlink("a", folder.path().join("b")).unwrap();
    let error = PendingFile::for_target(folder.path().join("a")).unwrap_err();
    assert!(error.to_string().starts_with("cannot follow "), "{error}");
}

#[test]
fn names_of_directories_are_no_files() {
    let folder = tempfile::tempdir().unwrap();
    symlink("made/", folder.path().join("link")).unwrap();
    for name in ["new/", "new/.", "..", "new/..", "link"] {
        let error = PendingFile::for_target(folder.path().join(name)).unwrap_err();
        assert!(
            matches!(error, Error::NotAnOutput { .. }),
            "{name}: {error}"
        );
    }
    assert!(PendingFile::for_target("").is_err());
}

#[test]
fn a_name_known_only_at_the_end_is_taken_in_the_folder() {
    for force in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let publish = Publish { force, sync: true };
        let file = PendingFile::in_folder(folder.path()).unwrap();
        file.write_at(0, b"text").unwrap();
        let path = file.publish_as("name", publish).unwrap();
        assert_eq!(path, folder.path().join("name"));
        assert_eq!(fs::read(path).unwrap(), b"text");

        let again = PendingFile::in_folder(folder.path()).unwrap();
        assert_eq!(again.publish_as("name", publish).is_ok(), force);
    }
}

#[test]
fn only_a_single_name_is_taken_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["", ".", "..", "a/b", "a/", "/a"] {
        let file = PendingFile::in_folder(folder.path()).unwrap();
        let error = file.publish_as(name, new()).unwrap_err();
        assert!(matches!(error, Error::NotAnOutput { .. }), "{name:?}");
    }
    let unnamed = PendingFile::in_folder(folder.path()).unwrap();
    assert!(matches!(unnamed.publish(new()), Err(Error::Unnamed { .. })));
    assert!(names(folder.path()).is_empty());
}

#[test]
fn of_several_writers_one_wins_and_the_others_are_told() {
    for keeping in KEEPINGS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let start = Barrier::new(8);
        let results: Vec<Result<()>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|number| {
                    let (path, start) = (&path, &start);
                    scope.spawn(move || {
                        start.wait();
                        put(path, &number.to_string().repeat(9), keeping, new())
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let winners: Vec<usize> = (0..8).filter(|&i| results[i].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{keeping:?}: {results:?}");
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, winners[0].to_string().repeat(9));
        let told = |result: &Result<()>| matches!(result, Ok(()) | Err(Error::Exists { .. }));
        assert!(results.iter().all(told), "{results:?}");
        assert_eq!(names(folder.path()), ["file"]);
    }
}

#[test]
fn of_several_forced_writers_all_succeed_and_one_is_last() {
    for keeping in KEEPINGS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let text = number.to_string().repeat(9);
                let path = &path;
                scope.spawn(move || put(path, &text, keeping, FORCE).unwrap());
            }
        });
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, text[..1].repeat(9));
        assert_eq!(names(folder.path()), ["file"], "{keeping:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named_with_the_reason() {
    // Not even root creates files in /proc.
    let error = PendingFile::for_target("/proc/file").unwrap_err();
    assert_eq!(error.to_string(), "cannot create a file in /proc");
    assert!(std::error::Error::source(&error).is_some());

    let folder = tempfile::tempdir().unwrap();
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root may write to any folder");
        return;
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let error = PendingFile::for_target(folder.path().join("file")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot create a file in {}", folder.path().display())
    );
}

#[test]
fn a_missing_folder_is_named() {
    let error = PendingFile::for_target("/nonexistent/folder/file").unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot open the folder /nonexistent/folder"
    );
}

#[test]
fn the_reader_sees_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = PendingFile::in_folder(folder.path()).unwrap();
    file.write_at(9000, b"text").unwrap();
    file.set_len(20_000).unwrap();
    file.punch(9001, 2).unwrap();
    let mut expected = vec![0; 20_000];
    expected[9000] = b't';
    expected[9003] = b't';
    crate::conformance::reader(&file.reader().unwrap(), &expected);
    assert_eq!(file.len().unwrap(), 20_000);
}

#[test]
fn a_private_file_stays_private_where_it_replaces_one_that_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    for hidden in [false, true] {
        let mut file = match hidden {
            true => PendingFile::hidden_for_target(&path).unwrap(),
            false => PendingFile::for_target(&path).unwrap(),
        };
        file.make_private().unwrap();
        file.write_at(0, b"secret").unwrap();
        let publish = Publish {
            force: true,
            sync: false,
        };
        file.publish(publish).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn the_start_of_a_file_is_read_while_more_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = PendingFile::in_folder(folder.path()).unwrap();
    file.write_at(4096, &[7; 4096]).unwrap();
    let start = file.reader_of(16_384).unwrap();
    file.write_at(16_384, &[8; 4096]).unwrap();
    file.write_at(0, &[6; 10]).unwrap();
    let mut expected = vec![0; 16_384];
    expected[..10].fill(6);
    expected[4096..8192].fill(7);
    crate::conformance::reader(&start, &expected);
}
