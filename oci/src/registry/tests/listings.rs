//! Lists of several pages, and of too many.

use super::server::{Act, Reply, Server};
use super::*;
use crate::blob::Images;

#[test]
fn tags_are_listed_page_by_page() {
    let server = Server::start();
    for tag in ["1", "2", "3", "4", "latest"] {
        let key = ("team/app".to_owned(), tag.to_owned());
        server.store().manifests.insert(key, Default::default());
    }
    let (repository, _) = repository(&server);
    assert_eq!(repository.tags().unwrap(), ["1", "2", "3", "4", "latest"]);
    assert_eq!(server.count("GET", "/tags/list"), 3);
}

#[test]
fn a_list_that_comes_back_to_itself_or_leads_elsewhere_is_refused() {
    for link in [
        "</v2/team/app/tags/list>; rel=next",
        "<https://elsewhere.example/v2/>; rel=next",
    ] {
        let server = Server::scripted(move |_, _| {
            Some(Act::Reply(
                Reply::new(200)
                    .header("link", link)
                    .body(r#"{"tags":["a"]}"#),
            ))
        });
        let (repository, _) = repository(&server);
        let error = repository.tags().unwrap_err().to_string();
        assert!(error.contains("does not belong"), "{error}");
    }
}

#[test]
fn a_list_without_end_ends() {
    let mut page = 0;
    let server = Server::scripted(move |_, _| {
        page += 1;
        let link = format!("</v2/team/app/tags/list?last={page}>; rel=next");
        let tags = vec!["a"; 100_000];
        let body = serde_json::json!({ "tags": tags }).to_string();
        Some(Act::Reply(Reply::new(200).header("link", link).body(body)))
    });
    let (repository, _) = repository(&server);
    assert!(
        repository
            .tags()
            .unwrap_err()
            .to_string()
            .contains("longer than")
    );
}

#[test]
fn no_tags_are_no_error_and_no_repository_is() {
    let body = r#"{"name":"team/app","tags":null}"#;
    let server = Server::scripted(move |_, _| Some(Act::Reply(Reply::new(200).body(body))));
    assert!(repository(&server).0.tags().unwrap().is_empty());
    let server = Server::scripted(move |_, _| Some(Act::Reply(Reply::new(404))));
    assert!(repository(&server).0.tags().is_err());
}

#[test]
fn referrers_are_listed_by_the_api() {
    let subject = Digest::of(b"subject");
    let entry = described_as(MediaType::ImageManifest, b"one");
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [entry] }).to_string();
    let server = Server::scripted(move |seen, _| {
        let reply = Reply::new(200).header("content-type", MediaType::ImageIndex);
        seen.target
            .contains("/referrers/sha256:")
            .then(|| Act::Reply(reply.body(index.clone())))
    });
    let (repository, _) = repository(&server);
    assert_eq!(repository.referrers(&subject).unwrap(), [entry]);
}
