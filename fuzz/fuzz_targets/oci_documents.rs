//! Bytes of any kind are read as manifests, indexes and configurations, and as what users type.
//!
//! Oracle: reading ends, without a panic. A document that is accepted is accepted again in the one form that it is
//! written in, and means the same; a reference, a platform and a digest are written as they are read.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use forger_oci::manifest::{Manifest, canonical, parse, parse_value};
use forger_oci::{Digest, ImageConfiguration, MediaType, Platform, Reference, Transport};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&kind, bytes)) = input.split_first() else {
        return;
    };
    let media_type = match kind % 3 {
        0 => MediaType::ImageManifest,
        1 => MediaType::ImageIndex,
        _ => MediaType::from("application/vnd.docker.distribution.manifest.v2+json"),
    };
    if let Ok(manifest) = Manifest::parse("input", &media_type, bytes) {
        let written = match &manifest {
            Manifest::Index(index) => canonical(index),
            Manifest::Image(image) => canonical(image),
        };
        let again = Manifest::parse("written", &media_type, &written).expect("it was accepted");
        assert_eq!(again, manifest);
    }
    if let Ok(config) = parse::<ImageConfiguration>("input", bytes) {
        let again: ImageConfiguration =
            parse("written", &canonical(&config)).expect("it was accepted");
        assert_eq!(again.rootfs(), config.rootfs());
    }
    if let Ok(value) = parse_value("input", bytes) {
        assert_eq!(
            parse_value("written", &canonical(&value)).expect("it was accepted"),
            value
        );
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        round_trip::<Reference>(text);
        round_trip::<Platform>(text);
        round_trip::<Digest>(text);
    }
    if let Ok(Some(transport)) = Transport::parse(OsStr::from_bytes(bytes), |_| false) {
        let text = transport.to_string();
        let again = Transport::parse(OsStr::new(&text), |_| false)
            .ok()
            .flatten();
        if std::str::from_utf8(bytes).is_ok() {
            assert_eq!(again, Some(transport));
        }
    }
});

fn round_trip<T: std::str::FromStr + ToString + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let again = value.to_string().parse::<T>().ok();
        assert_eq!(again, Some(value));
    }
}
