//! Blobs and manifests out of a registry that breaks transfers, lies, or goes on for ever.

use std::time::{Duration, Instant};

use super::server::{Act, Reply, Server, part};
use super::*;
use crate::blob::{Images, MANIFEST_LIMIT};

const BLOB: &str = "/v2/team/app/blobs/";

#[test]
fn a_blob_comes_as_it_is_from_any_offset() {
    let (server, bytes) = (Server::start(), noise(1, 300_000));
    server.add_blob("team/app", &bytes);
    let (repository, _) = repository(&server);
    assert_eq!(pull(&repository, &bytes).unwrap(), bytes);
    let mut rest = Vec::new();
    let part = repository.open_raw_at(&described(&bytes), 299_000).unwrap();
    part.unwrap().read_to_end(&mut rest).unwrap();
    assert_eq!(rest, bytes[299_000..]);
}

#[test]
fn a_transfer_that_breaks_goes_on_where_it_broke() {
    let bytes = noise(2, 900_000);
    let sent = bytes.clone();
    let mut breaks = 0;
    let server = Server::scripted(move |seen, _| {
        breaks += 1;
        let reply = part(&sent, seen.header("range"));
        (seen.is("GET", BLOB) && breaks <= 2).then(|| Act::Reply(reply.cut(300_000)))
    });
    server.add_blob("team/app", &bytes);
    let (repository, clock) = repository(&server);
    assert_eq!(pull(&repository, &bytes).unwrap(), bytes);
    let ranges: Vec<String> = server
        .store()
        .log
        .iter()
        .map(|seen| seen.header("range").to_owned())
        .collect();
    assert_eq!(ranges, ["", "bytes=300000-", "bytes=600000-"]);
    assert_eq!(clock.waits.lock().unwrap().len(), 2);
}

#[test]
fn what_comes_again_from_the_start_is_passed_over() {
    let bytes = noise(3, 500_000);
    let sent = bytes.clone();
    let mut first = true;
    let server = Server::scripted(move |_, _| {
        let reply = Reply::new(200).body(sent.clone());
        Some(Act::Reply(match std::mem::take(&mut first) {
            true => reply.cut(123_456),
            false => reply,
        }))
    });
    let (repository, _) = repository(&server);
    assert_eq!(pull(&repository, &bytes).unwrap(), bytes);
}

#[test]
fn a_blob_that_never_comes_whole_is_given_up() {
    let bytes = noise(4, 100_000);
    let sent = bytes.clone();
    let server = Server::scripted(move |seen, _| {
        Some(Act::Reply(part(&sent, seen.header("range")).cut(100)))
    });
    let (repository, clock) = repository(&server);
    let error = pull(&repository, &bytes).unwrap_err();
    assert!(told(&error).contains("broke off"), "{}", told(&error));
    assert_eq!(clock.waits.lock().unwrap().len(), 5);
}

#[test]
fn another_part_than_the_one_asked_for_is_refused() {
    let bytes = noise(5, 100_000);
    let sent = bytes.clone();
    let server = Server::scripted(move |seen, _| {
        Some(Act::Reply(match seen.header("range") {
            "" => Reply::new(200).body(sent.clone()).cut(50_000),
            _ => Reply::new(206)
                .header("content-range", "bytes 0-99999/100000")
                .body(sent.clone()),
        }))
    });
    let (repository, _) = repository(&server);
    assert!(told(&pull(&repository, &bytes).unwrap_err()).contains("Content-Range"));
}

#[test]
fn wrong_short_and_long_blobs_are_refused() {
    let bytes = noise(6, 10_000);
    for wrong in [
        noise(7, 10_000),
        bytes[..9_999].to_vec(),
        [&bytes[..], b"x"].concat(),
    ] {
        let server =
            Server::scripted(move |_, _| Some(Act::Reply(Reply::new(200).body(wrong.clone()))));
        let (repository, _) = repository(&server);
        assert!(pull(&repository, &bytes).is_err());
    }
}

#[test]
fn a_blob_without_end_ends() {
    let server = Server::scripted(|_, _| {
        Some(Act::Reply(Reply {
            endless: true,
            ..Reply::new(200).body(vec![0; 65_536])
        }))
    });
    let (repository, _) = repository(&server);
    assert!(matches!(
        pull(&repository, &[0; 100_000]),
        Err(crate::Error::Length { .. })
    ));
}

#[test]
fn manifests_are_bounded_huge_ones_and_endless_ones() {
    let huge = Reply::new(200).body(vec![b' '; usize::try_from(MANIFEST_LIMIT).unwrap() + 1]);
    let endless = Reply {
        endless: true,
        ..Reply::new(200).body(vec![b' '; 65_536])
    };
    for reply in [huge, endless] {
        let server = Server::scripted(move |_, _| Some(Act::Reply(reply.clone())));
        let (repository, _) = repository(&server);
        assert!(
            repository
                .root()
                .unwrap_err()
                .to_string()
                .contains("longer than")
        );
    }
}

#[test]
fn a_manifest_that_is_cut_short_or_another_one_is_refused() {
    let good = br#"{"schemaVersion":2,"manifests":[]}"#.to_vec();
    let other = br#"{"schemaVersion":2,"manifests": []}"#.to_vec();
    let reply = |bytes: &[u8]| {
        let kind = MediaType::ImageIndex;
        Reply::new(200).header("content-type", kind).body(bytes)
    };
    for bad in [reply(&good).cut(10), reply(&other), reply(&good[1..])] {
        let server = Server::scripted(move |_, _| Some(Act::Reply(bad.clone())));
        let descriptor = described_as(MediaType::ImageIndex, &good);
        let read = blob::read(&repository(&server).0, &descriptor, 1000);
        assert!(read.is_err());
        let digest = Digest::of(&good);
        let reference = format!("{}/team/app@{digest}", server.host())
            .parse()
            .unwrap();
        let (client, _) = client(http::Options::default());
        let root = Repository::new(client, &reference, Arc::new(Anonymous), Options::default());
        assert!(root.unwrap().root().is_err());
    }
}

#[test]
fn a_server_that_is_slow_but_gets_on_is_waited_for() {
    // Each break comes after some progress: none of them is one too many.
    let bytes = noise(9, 3 << 20);
    let sent = bytes.clone();
    let server = Server::scripted(move |seen, _| {
        let reply = part(&sent, seen.header("range"));
        let end = reply.body.len().min(300_000);
        Some(Act::Reply(match end == reply.body.len() {
            true => reply,
            false => reply.cut(end),
        }))
    });
    let (repository, clock) = repository(&server);
    assert_eq!(pull(&repository, &bytes).unwrap(), bytes);
    let waits = clock.waits.lock().unwrap();
    assert_eq!(waits.len(), 10);
    let first = waits[0].0;
    assert!(
        waits.iter().all(|(wait, _)| *wait <= first * 2),
        "{waits:?}"
    );
}

#[test]
fn a_manifest_must_be_what_the_registry_calls_it() {
    let server = Server::scripted(|_, _| {
        let reply = Reply::new(200).header("docker-content-digest", Digest::of(b"another"));
        let reply = reply.header("content-type", MediaType::ImageIndex);
        Some(Act::Reply(
            reply.body(r#"{"schemaVersion":2,"manifests":[]}"#),
        ))
    });
    let (repository, _) = repository(&server);
    assert!(matches!(
        repository.root(),
        Err(crate::Error::Mismatch { .. })
    ));
}

#[test]
fn a_manifest_is_asked_for_once() {
    let server = Server::start();
    let bytes = br#"{"schemaVersion":2,"manifests":[]}"#;
    let kind = MediaType::ImageIndex.to_string();
    let key = ("team/app".to_owned(), "1".to_owned());
    server.store().manifests.insert(key, (kind, bytes.to_vec()));
    let (repository, _) = repository(&server);
    let root = repository.root().unwrap();
    assert_eq!(root.media_type(), &MediaType::ImageIndex);
    assert_eq!(blob::read(&repository, &root, 1000).unwrap(), bytes);
    assert_eq!(server.count("GET", "/manifests/"), 1);
}

#[test]
fn what_is_not_there_is_said_without_asking_again() {
    let server = Server::start();
    let (repository, clock) = repository(&server);
    assert!(matches!(
        repository.root(),
        Err(crate::Error::Missing { .. })
    ));
    assert!(matches!(
        pull(&repository, b"x"),
        Err(crate::Error::Missing { .. })
    ));
    assert!(clock.waits.lock().unwrap().is_empty());
}

#[test]
fn a_limit_on_requests_is_waited_for_as_long_as_the_server_says() {
    let bytes = noise(8, 1000);
    let mut count = 0;
    let server = Server::scripted(move |_, _| {
        count += 1;
        (count <= 2).then(|| Act::Reply(Reply::new(429).header("retry-after", 7)))
    });
    server.add_blob("team/app", &bytes);
    let (repository, clock) = repository(&server);
    assert_eq!(pull(&repository, &bytes).unwrap(), bytes);
    let waits: Vec<u64> = clock
        .waits
        .lock()
        .unwrap()
        .iter()
        .map(|(wait, _)| wait.as_secs())
        .collect();
    assert_eq!(waits, [7, 7]);
}

#[test]
fn a_limit_on_requests_that_stays_is_shown_as_such() {
    for (after, waits) in [("1", 5), ("3600", 0)] {
        let server = Server::scripted(move |_, _| {
            let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit"}]}"#;
            Some(Act::Reply(
                Reply::new(429).header("retry-after", after).body(body),
            ))
        });
        let (repository, clock) = repository(&server);
        let error = repository.root().unwrap_err().to_string();
        assert!(
            error.contains("too many requests") && error.contains("pull rate limit"),
            "{error}"
        );
        assert!(error.contains(&format!("wait {after} s")), "{error}");
        assert_eq!(clock.waits.lock().unwrap().len(), waits);
    }
}

#[test]
fn a_server_that_falls_silent_is_not_waited_for() {
    let server = Server::scripted(|_, _| Some(Act::Sleep(Duration::from_secs(10))));
    let (client, _) = client(http::Options {
        idle: Duration::from_millis(100),
        schedule: http::Schedule {
            attempts: 2,
            ..http::Schedule::default()
        },
        ..http::Options::default()
    });
    let reference = format!("{}/team/app:1", server.host()).parse().unwrap();
    let repository =
        Repository::new(client, &reference, Arc::new(Anonymous), Options::default()).unwrap();
    let begun = Instant::now();
    let error = repository.root().unwrap_err().to_string();
    assert!(error.contains("nothing came for"), "{error}");
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_stop_ends_a_request_under_way() {
    let server = Server::scripted(|_, _| Some(Act::Sleep(Duration::from_secs(15))));
    let (client, _) = client(http::Options::default());
    let reference = format!("{}/team/app:1", server.host()).parse().unwrap();
    let repository = Repository::new(
        client.clone(),
        &reference,
        Arc::new(Anonymous),
        Options::default(),
    )
    .unwrap();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while server.count("GET", "") == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            client.shut_down();
        });
        assert_eq!(
            repository.root().unwrap_err().to_string(),
            "stopped on request"
        );
    });
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn plain_http_is_for_this_machine_only() {
    let (client, _) = client(http::Options::default());
    for host in ["localhost.example.com", "127.0.0.1.nip.io"] {
        let endpoint = super::super::Endpoint::new(&client, host, false).unwrap();
        assert!(endpoint.base().origin().is_secure(), "{host}");
        let url = http::Url::parse(&format!("http://{host}/")).unwrap();
        let refused = client.send(&http::Request::new(http::Method::Get, url));
        assert!(matches!(refused, Err(http::Error::PlainHttp { .. })));
    }
}
