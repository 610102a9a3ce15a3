use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::*;

fn disk() -> Disk {
    Disk::ReadOnly(Arc::new(vec![1_u8; 4096]))
}

/// Sends messages and returns how serving ended and what came back.
fn play(messages: &[(u32, u32, &[u8])]) -> (Result<(), Error>, Vec<u8>) {
    let (mut monitor, server) = UnixStream::pair().unwrap();
    let connection = connected(disk(), server).unwrap();
    for (request, flags, payload) in messages {
        let mut bytes = Vec::new();
        for word in [*request, *flags, u32::try_from(payload.len()).unwrap()] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(*payload);
        // A server that has gone already says why.
        let _ = monitor.write_all(&bytes);
    }
    monitor.shutdown(std::net::Shutdown::Write).unwrap();
    let mut got = Vec::new();
    let _ = monitor.read_to_end(&mut got);
    (connection.wait(), got)
}

#[test]
fn features_and_configuration_are_told_and_messages_acknowledged() {
    let features = (1_u64 << 30 | 1 << 32).to_ne_bytes();
    let protocol = (1_u64 << 3 | 1 << 9).to_ne_bytes();
    let config = [0_u32, 8, 0].map(u32::to_ne_bytes).concat();
    let (ended, got) = play(&[
        (3, 1, &[]),
        (1, 1, &[]),
        (15, 1, &[]),
        (16, 1, &protocol),
        (2, 9, &features),
        (24, 1, &config),
    ]);
    assert!(ended.is_ok(), "{ended:?}");
    let word = |at: usize| u64::from_ne_bytes(got[at..at + 8].try_into().unwrap());
    assert_eq!(
        word(12) & (1 << 30 | 1 << 32 | 1 << 5),
        1 << 30 | 1 << 32 | 1 << 5
    );
    assert_eq!(word(32), 1 << 3 | 1 << 5 | 1 << 9);
    // SET_FEATURES was done; the disk has 8 sectors.
    assert_eq!(word(52), 0);
    assert_eq!(word(84), 8);
    assert_eq!(got.len(), 92);
}

#[test]
fn messages_that_make_no_sense_end_the_connection() {
    let table = [3_u32.to_ne_bytes().to_vec(), vec![0; 100]].concat();
    let high = [0_u32, 300].map(u32::to_ne_bytes).concat();
    let other = [1_u32, 16].map(u32::to_ne_bytes).concat();
    let config = [u32::MAX, u32::MAX, 0].map(u32::to_ne_bytes).concat();
    for (request, flags, payload, why) in [
        (99, 1, &[][..], "does not know"),
        (1, 2, &[], "no known version"),
        (2, 1, &[0xff; 8], "not offered"),
        (2, 1, &[0; 3], "too short"),
        (5, 1, &table, "shares no memory"),
        (5, 1, &[0; 5000], "too long"),
        (8, 1, &high, "impossible size"),
        (8, 1, &other, "not there"),
        (9, 1, &[0; 40], "outside of memory"),
        (12, 1, &[0; 8], "a descriptor too many or too few"),
        (24, 1, &config, "more than there is"),
    ] {
        let (ended, _) = play(&[(request, flags, payload)]);
        let error = ended.expect_err(why).to_string();
        assert!(error.contains(why), "{error}, not {why}");
    }
}

#[test]
fn a_connection_can_be_stopped_and_an_odd_disk_is_refused() {
    let (monitor, server) = UnixStream::pair().unwrap();
    let connection = connected(disk(), server).unwrap();
    let stop = connection.stopper();
    let waits = std::thread::spawn(move || connection.wait());
    stop.stop();
    assert!(waits.join().unwrap().is_ok());
    drop(monitor);
    let (_monitor, server) = UnixStream::pair().unwrap();
    let odd = Disk::ReadOnly(Arc::new(vec![1_u8; 1000]));
    assert!(matches!(
        connected(odd, server),
        Err(Error::Odd { len: 1000 })
    ));
}
