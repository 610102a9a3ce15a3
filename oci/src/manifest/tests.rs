//! Documents good and bad.

use super::*;

const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

fn parse_as(media_type: MediaType, text: &str) -> Result<Manifest> {
    Manifest::parse(
        "test",
        &media_type,
        text.replace("DIGEST", DIGEST).as_bytes(),
    )
}

const CONFIG: &str = r#""config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"DIGEST","size":2}"#;

#[test]
fn nulls_of_go_are_empty_lists() {
    let text = format!(r#"{{"schemaVersion":2,{CONFIG},"layers":null,"annotations":null}}"#);
    let Manifest::Image(image) = parse_as(MediaType::ImageManifest, &text).unwrap() else {
        panic!("an image")
    };
    assert!(image.layers().is_empty());
    let index = parse_as(
        MediaType::ImageIndex,
        r#"{"schemaVersion":2,"manifests":null}"#,
    );
    assert_eq!(index.unwrap().children().len(), 0);
}

#[test]
fn documents_that_contradict_themselves_are_refused() {
    let both = format!(r#"{{"schemaVersion":2,{CONFIG},"layers":[],"manifests":[]}}"#);
    for (media_type, text) in [
        (MediaType::ImageManifest, both.as_str()),
        (MediaType::ImageIndex, both.as_str()),
        (
            MediaType::ImageManifest,
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#,
        ),
        (MediaType::ImageManifest, r#"{"schemaVersion":1}"#),
        (MediaType::EmptyJSON, r#"{}"#),
        (
            MediaType::ImageIndex,
            r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#,
        ),
        (
            MediaType::ImageIndex,
            r#"{"schemaVersion":2,"manifests":null,"manifests":[]}"#,
        ),
        (MediaType::ImageIndex, &"[".repeat(100_000)),
    ] {
        assert!(parse_as(media_type, text).is_err(), "{text:.80}");
    }
}

#[test]
fn a_document_of_unknown_type_is_told_by_its_keys() {
    let text = format!(r#"{{"schemaVersion":2,{CONFIG},"layers":[]}}"#);
    let other = || MediaType::from("application/json");
    assert!(matches!(parse_as(other(), &text), Ok(Manifest::Image(_))));
    let index = parse_as(other(), r#"{"schemaVersion":2,"manifests":[]}"#);
    assert!(matches!(index, Ok(Manifest::Index(_))));
}

#[test]
fn canonical_form_has_its_keys_in_order() {
    let text = format!(r#"{{"schemaVersion":2,{CONFIG},"layers":[]}}"#);
    let Ok(Manifest::Image(image)) = parse_as(MediaType::ImageManifest, &text) else {
        panic!("an image")
    };
    let written = String::from_utf8(canonical(&image)).unwrap();
    assert!(written.starts_with(r#"{"config":{"digest":"#), "{written}");
}

#[test]
fn numbers_are_written_as_they_were_read() {
    let read = parse_value("input", b"[2222222222022222022222, 1.5, 7]").unwrap();
    let again = parse_value("written", &canonical(&read)).unwrap();
    assert_eq!(again, read);
}
