//! Blobs and manifests into a registry that caps, drops, forgets and stores something else.

use super::server::{Act, Reply, Server};
use super::*;
use crate::blob::{BlobSink, ImageSink};
use crate::manifest::canonical;

const UPLOADS: &str = "/v2/team/app/blobs/uploads/";
const MIB: usize = 1 << 20;

/// Puts a blob into a repository and asserts that it is there.
fn push(server: &Server, repository: &Repository, bytes: &[u8]) {
    repository
        .put(&described(bytes), &Shelf(vec![bytes.to_vec()]))
        .unwrap();
    let key = ("team/app".to_owned(), Digest::of(bytes).to_string());
    assert!(
        server
            .store()
            .blobs
            .get(&key)
            .is_some_and(|stored| stored == bytes)
    );
}

fn chunked(server: &Server, chunk: u64) -> (Repository, Arc<Patience>) {
    let options = Options {
        chunk: Some(chunk),
        ..Options::default()
    };
    repository_as(&server.host(), "team/app", Arc::new(Anonymous), options)
}

#[test]
fn a_blob_goes_whole_and_only_once() {
    let (server, bytes) = (Server::start(), noise(1, 5 * MIB));
    let (repository, _) = repository(&server);
    push(&server, &repository, &bytes);
    push(&server, &repository, &bytes);
    push(&server, &repository, b"");
    assert_eq!(
        (server.count("POST", UPLOADS), server.count("PUT", UPLOADS)),
        (2, 2)
    );
    assert_eq!(server.count("PATCH", ""), 0);
}

#[test]
fn a_blob_goes_in_chunks_of_the_length_that_is_asked_for() {
    for length in [0, 1, 999, 1000, 2500] {
        let (server, bytes) = (Server::start(), noise(2, length));
        let (repository, _) = chunked(&server, 1000);
        push(&server, &repository, &bytes);
        assert_eq!(server.count("PATCH", UPLOADS), length.div_ceil(1000));
    }
}

#[test]
fn a_registry_sets_the_least_length_of_a_chunk() {
    let server = Server::scripted(|seen, store| {
        seen.is("POST", UPLOADS).then(|| {
            store.uploads.insert(77, Vec::new());
            let location = format!("{UPLOADS}77?_state=a%2Fb==");
            let reply = Reply::new(202).header("location", location);
            Act::Reply(reply.header("OCI-Chunk-Min-Length", 2000))
        })
    });
    let (repository, _) = chunked(&server, 1000);
    push(&server, &repository, &noise(3, 4500));
    assert_eq!(server.count("PATCH", UPLOADS), 3);
}

#[test]
fn a_cap_on_requests_is_met_with_chunks() {
    let server = Server::scripted(|seen, _| {
        let length: usize = seen.header("content-length").parse().unwrap_or(0);
        (length > 4 * MIB).then(|| Act::Reply(Reply::new(413)))
    });
    let (repository, _) = repository(&server);
    push(&server, &repository, &noise(4, 9 * MIB));
    assert_eq!(server.count("PATCH", UPLOADS), 3);
}

#[test]
fn a_connection_that_breaks_is_met_with_chunks_and_each_is_taken_up() {
    let mut breaks = 0;
    let server = Server::scripted(move |seen, _| {
        let length: usize = seen.header("content-length").parse().unwrap_or(0);
        breaks += usize::from(seen.method == "PATCH");
        let whole = seen.is("PUT", UPLOADS) && length > 0;
        (whole || breaks == 2 && seen.method == "PATCH").then_some(Act::HangUp(MIB))
    });
    let (repository, clock) = repository(&server);
    push(&server, &repository, &noise(5, 9 * MIB));
    // Three chunks, one of them twice, the state asked for once in between.
    assert_eq!(
        (server.count("PATCH", UPLOADS), server.count("GET", UPLOADS)),
        (4, 1)
    );
    assert_eq!(clock.waits.lock().unwrap().len(), 2);
}

#[test]
fn what_is_missing_of_a_chunk_is_sent_again() {
    let mut count = 0;
    let server = Server::scripted(move |seen, _| {
        count += usize::from(seen.method == "PATCH");
        (count == 2 && seen.method == "PATCH").then_some(Act::Keep(300))
    });
    let (repository, _) = chunked(&server, 1000);
    push(&server, &repository, &noise(6, 3000));
    let store = server.store();
    let ranges = store.log.iter().filter(|seen| seen.method == "PATCH");
    let ranges: Vec<&str> = ranges.map(|seen| seen.header("content-range")).collect();
    assert_eq!(ranges, ["0-999", "1000-1999", "1300-1999", "2000-2999"]);
}

#[test]
fn a_registry_that_loses_chunks_gets_the_blob_whole() {
    let mut count = 0;
    let server = Server::scripted(move |seen, _| {
        count += usize::from(seen.method == "PATCH");
        (count > 1 && seen.method == "PATCH").then_some(Act::Keep(0))
    });
    let (repository, _) = chunked(&server, 1000);
    push(&server, &repository, &noise(7, 3000));
    assert_eq!(
        (server.count("PATCH", UPLOADS), server.count("PUT", UPLOADS)),
        (4, 1)
    );
}

#[test]
fn a_registry_that_loses_chunks_and_keeps_silent_gets_the_blob_whole() {
    let mut count = 0;
    let server = Server::scripted(move |seen, store| {
        count += usize::from(seen.method == "PATCH");
        let lost = count > 1 && seen.method == "PATCH";
        lost.then(|| {
            assert!(!store.uploads.is_empty());
            Act::Reply(
                Reply::new(202).header(
                    "range",
                    seen.header("content-range")
                        .replace("1000-", "0-")
                        .replace("2000-", "0-"),
                ),
            )
        })
    });
    let (repository, _) = chunked(&server, 1000);
    push(&server, &repository, &noise(8, 3000));
    assert_eq!(server.count("PUT", UPLOADS), 2);
}

#[test]
fn an_upload_that_the_registry_forgot_begins_anew() {
    let mut count = 0;
    let server = Server::scripted(move |seen, store| {
        count += usize::from(seen.method == "PATCH");
        if count == 2 && seen.method == "PATCH" {
            store.uploads.clear();
        }
        None
    });
    let (repository, _) = chunked(&server, 1000);
    push(&server, &repository, &noise(9, 3000));
    assert_eq!(server.count("POST", UPLOADS), 2);
}

#[test]
fn a_lost_answer_is_not_a_lost_blob() {
    let bytes = noise(10, 2000);
    let stored = bytes.clone();
    let server = Server::scripted(move |seen, store| {
        seen.is("PUT", UPLOADS).then(|| {
            let key = ("team/app".to_owned(), Digest::of(&stored).to_string());
            store.blobs.insert(key, stored.clone());
            Act::HangUp(2000)
        })
    });
    let (repository, clock) = repository(&server);
    push(&server, &repository, &bytes);
    assert_eq!(server.count("PUT", UPLOADS), 1);
    assert!(clock.waits.lock().unwrap().is_empty());
}

#[test]
fn locations_may_be_absolute_and_lead_elsewhere() {
    let elsewhere = Server::start();
    let bytes = noise(11, 1000);
    elsewhere.store().uploads.insert(5, Vec::new());
    let location = format!(
        "http://{}/v2/team/app/blobs/uploads/5?_state=a%2Fb==",
        elsewhere.host()
    );
    let server = Server::scripted(move |seen, _| {
        seen.is("POST", UPLOADS)
            .then(|| Act::Reply(Reply::new(202).header("location", &location)))
    });
    let (repository, _) = repository(&server);
    repository
        .put(&described(&bytes), &Shelf(vec![bytes.clone()]))
        .unwrap();
    assert_eq!(elsewhere.store().blobs.len(), 1);
}

#[test]
fn a_blob_of_the_same_registry_is_mounted() {
    let (server, bytes) = (Server::start(), noise(12, 1000));
    server.add_blob("base", &bytes);
    for (from, uploads) in [("other", 1), ("base", 0)] {
        let options = Options {
            mount_from: vec![from.to_owned()],
            ..Options::default()
        };
        let (repository, _) =
            repository_as(&server.host(), "team/app", Arc::new(Anonymous), options);
        server
            .store()
            .blobs
            .retain(|(repository, _), _| repository == "base");
        server.store().log.clear();
        push(&server, &repository, &bytes);
        // What cannot be mounted goes on as an upload, without a second request to begin one.
        assert_eq!(
            (server.count("POST", UPLOADS), server.count("PUT", UPLOADS)),
            (1, uploads)
        );
    }
}

#[test]
fn a_registry_that_stores_something_else_is_found_out() {
    let server = Server::scripted(|seen, _| {
        seen.is("PUT", "").then(|| {
            Act::Reply(Reply::new(201).header("docker-content-digest", Digest::of(b"other")))
        })
    });
    let (repository, _) = repository(&server);
    let blob = b"blob".to_vec();
    let error = repository
        .put(&described(&blob), &Shelf(vec![blob]))
        .unwrap_err();
    assert!(error.to_string().contains("where"), "{error}");
}

#[test]
fn a_source_that_is_damaged_is_what_the_error_is_about() {
    #[derive(Debug)]
    struct Damaged;
    impl Blobs for Damaged {
        fn open_raw(&self, _: &Descriptor) -> Result<Box<dyn Read + Send>> {
            Ok(Box::new(Cursor::new(noise(13, 1000))))
        }
        fn place(&self) -> String {
            "nowhere".to_owned()
        }
    }
    for chunk in [None, Some(100)] {
        let server = Server::start();
        let options = Options {
            chunk,
            ..Options::default()
        };
        let (repository, _) =
            repository_as(&server.host(), "team/app", Arc::new(Anonymous), options);
        let error = repository
            .put(&described(&noise(14, 1000)), &Damaged)
            .unwrap_err();
        assert!(matches!(error, crate::Error::Mismatch { .. }), "{error:?}");
        assert!(server.store().blobs.is_empty());
    }
}

#[test]
fn a_limit_on_requests_is_waited_for_in_the_middle_of_an_upload() {
    for (chunk, method) in [(None, "PUT"), (Some(1000), "PATCH")] {
        let mut limited = false;
        let server = Server::scripted(move |seen, _| {
            let limit = seen.is(method, UPLOADS) && !std::mem::replace(&mut limited, true);
            limit.then(|| Act::Reply(Reply::new(429).header("retry-after", 7)))
        });
        let options = Options {
            chunk,
            ..Options::default()
        };
        let (repository, clock) =
            repository_as(&server.host(), "team/app", Arc::new(Anonymous), options);
        push(&server, &repository, &noise(15, 3000));
        let waits = clock.waits.lock().unwrap();
        let waits: Vec<u64> = waits.iter().map(|(wait, _)| wait.as_secs()).collect();
        assert_eq!(waits, [7], "{method}");
        // What was too often was not too much.
        assert_eq!(
            server.count("PATCH", UPLOADS),
            if chunk.is_some() { 4 } else { 0 }
        );
    }
}

#[test]
fn a_limit_on_requests_that_stays_is_what_an_upload_ends_with() {
    let server = Server::scripted(|seen, _| {
        let limited = Reply::new(429).header("retry-after", 3600);
        seen.is("PUT", UPLOADS).then_some(Act::Reply(limited))
    });
    let (repository, clock) = repository(&server);
    let bytes = noise(16, 3000);
    let put = repository.put(&described(&bytes), &Shelf(vec![bytes]));
    let error = put.unwrap_err().to_string();
    assert!(
        error.contains("too many requests") && error.contains("3600 s"),
        "{error}"
    );
    assert!(clock.waits.lock().unwrap().is_empty());
}

#[test]
fn tags_and_manifests_are_removed_where_the_registry_does_so() {
    for (status, removed) in [(202, true), (405, false), (404, false)] {
        let server = Server::scripted(move |seen, _| {
            seen.is("DELETE", "/manifests/1")
                .then(|| Act::Reply(Reply::new(status)))
        });
        let (repository, clock) = repository(&server);
        assert_eq!(repository.remove().is_ok(), removed, "{status}");
        assert!(clock.waits.lock().unwrap().is_empty());
    }
}

#[test]
fn a_refusal_is_not_asked_again() {
    for status in [401, 403, 400] {
        let server = Server::scripted(move |seen, _| {
            seen.is("POST", UPLOADS)
                .then(|| Act::Reply(Reply::new(status)))
        });
        let (repository, clock) = repository(&server);
        repository
            .put(&described(b"x"), &Shelf(vec![b"x".to_vec()]))
            .unwrap_err();
        assert_eq!(server.count("POST", UPLOADS), 1);
        assert!(clock.waits.lock().unwrap().is_empty());
    }
}

/// An artifact that refers to a subject, and its descriptor.
fn artifact(subject: &Descriptor) -> (Vec<u8>, Descriptor) {
    let empty = described_as(MediaType::EmptyJSON, b"{}");
    let bytes = canonical(&serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::ImageManifest.to_string(),
        "artifactType": "application/vnd.example", "config": empty, "layers": [empty], "subject": subject,
    }));
    let descriptor = described_as(MediaType::ImageManifest, &bytes);
    (bytes, descriptor)
}

#[test]
fn without_the_referrers_api_an_index_under_a_tag_lists_them() {
    use crate::blob::Images;
    let server = Server::start();
    let (repository, _) = repository(&server);
    let subject = described_as(MediaType::ImageManifest, b"subject");
    let digest = Digest::of(b"subject");
    assert_eq!(repository.referrers(&digest).unwrap(), []);
    let (bytes, descriptor) = artifact(&subject);
    for _ in 0..2 {
        repository
            .publish(&descriptor, &Shelf(vec![bytes.clone()]))
            .unwrap();
    }
    let found = repository.referrers(&digest).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].digest(), descriptor.digest());
    assert_eq!(
        found[0].artifact_type().as_ref().unwrap().to_string(),
        "application/vnd.example"
    );
}

#[test]
fn with_the_referrers_api_no_tag_is_made() {
    let server = Server::scripted(|seen, _| {
        seen.is("PUT", "/manifests/")
            .then(|| Act::Reply(Reply::new(201).header("OCI-Subject", "sha256:00")))
    });
    let (repository, _) = repository(&server);
    let (bytes, descriptor) = artifact(&described_as(MediaType::ImageManifest, b"subject"));
    repository
        .publish(&descriptor, &Shelf(vec![bytes]))
        .unwrap();
    assert_eq!(
        (server.count("PUT", "/manifests/"), server.count("GET", "")),
        (1, 0)
    );
}
