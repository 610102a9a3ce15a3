//! Who is told what: passwords, tokens, other hosts, TLS, proxies.

use super::server::{Act, Reply, Server};
use super::*;
use crate::http::{Proxies, Roots, Secret};
use crate::registry::{Credentials, Error};

#[derive(Debug)]
struct Ann(Credentials);

impl Keychain for Ann {
    fn credentials(&self, _: &str, _: &str) -> std::result::Result<Credentials, Error> {
        Ok(self.0.clone())
    }
}

fn basic() -> Credentials {
    Credentials::Basic {
        username: "ann".to_owned(),
        password: Secret::new("s:cret"),
    }
}

/// What `ann` and `s:cret` are on the wire.
const BASIC: &str = "Basic YW5uOnM6Y3JldA==";

fn repository_of(server: &Server, credentials: Credentials) -> Repository {
    let keychain = Arc::new(Ann(credentials));
    repository_as(&server.host(), "team/app", keychain, Options::default()).0
}

/// Makes a registry want tokens of a service; `tokens` are what it accepts.
fn want_tokens(server: &Server, service: &Server, tokens: &[&str]) {
    let accepted = tokens
        .iter()
        .map(|token| format!("Bearer {token}"))
        .collect();
    let challenge = format!(
        "Bearer realm=\"http://{}/token\",service=\"registry\",scope=\"repository:team/app:pull\"",
        service.host()
    );
    server.store().wants = Some((accepted, challenge));
}

#[test]
fn a_password_is_shown_when_it_is_asked_for() {
    let (server, bytes) = (Server::start(), noise(1, 1000));
    server.add_blob("team/app", &bytes);
    server.store().wants = Some((vec![BASIC.to_owned()], "Basic realm=\"x\"".to_owned()));
    let repository = repository_of(&server, basic());
    for _ in 0..2 {
        assert_eq!(pull(&repository, &bytes).unwrap(), bytes);
    }
    let shown: Vec<String> = server
        .store()
        .log
        .iter()
        .map(|seen| seen.header("authorization").to_owned())
        .collect();
    assert_eq!(shown, ["", BASIC, BASIC]);
}

#[test]
fn a_wrong_password_is_tried_once() {
    let server = Server::start();
    server.store().wants = Some((Vec::new(), "Basic realm=\"x\"".to_owned()));
    let (repository, error) = {
        let repository = repository_of(&server, basic());
        let error = pull(&repository, b"x").unwrap_err();
        (repository, error)
    };
    assert!(error.to_string().contains("to this user"), "{error}");
    assert_eq!(server.count("GET", ""), 2);
    assert!(!format!("{repository:?} {error:?}").contains("s:cret"));
    let nobody = repository_of(&server, Credentials::Anonymous);
    assert!(
        pull(&nobody, b"x")
            .unwrap_err()
            .to_string()
            .contains("anybody unknown")
    );
}

#[test]
fn a_token_is_fetched_once_and_renewed_when_it_is_refused_or_about_to_end() {
    let bytes = noise(2, 1000);
    let mut count = 0;
    let service = Server::scripted(move |_, _| {
        count += 1;
        Some(Act::Reply(Reply::new(200).body(format!(
            "{{\"token\":\"t{count}\",\"expires_in\":300}}"
        ))))
    });
    let server = Server::start();
    server.add_blob("team/app", &bytes);
    want_tokens(&server, &service, &["t1"]);
    let keychain = Arc::new(Ann(basic()));
    let (repository, clock) =
        repository_as(&server.host(), "team/app", keychain, Options::default());
    let read = || assert_eq!(pull(&repository, &bytes).unwrap(), bytes);
    read();
    read();
    assert_eq!(service.count("GET", "/token"), 1);
    // In the middle of the work the registry wants another one.
    want_tokens(&server, &service, &["t2", "t3"]);
    read();
    assert_eq!(service.count("GET", "/token"), 2);
    clock.now.fetch_add(295, Ordering::Relaxed);
    read();
    assert_eq!(service.count("GET", "/token"), 3);
    let store = service.store();
    assert!(
        store
            .log
            .iter()
            .all(|seen| seen.header("authorization") == BASIC)
    );
    assert!(
        store.log[0]
            .target
            .contains("service=registry&scope=repository%3Ateam%2Fapp%3Apull&account=ann")
    );
}

#[test]
fn a_token_that_ends_in_the_middle_of_a_blob_is_renewed() {
    let bytes = noise(3, 600_000);
    let sent = bytes.clone();
    let service = Server::scripted(|seen, store| {
        let count = store.log.len();
        assert!(seen.target.contains("scope="));
        Some(Act::Reply(
            Reply::new(200).body(format!("{{\"access_token\":\"t{count}\"}}")),
        ))
    });
    let mut first = true;
    let server = Server::scripted(move |seen, store| {
        let known = seen.header("authorization") == "Bearer t1";
        (known && std::mem::take(&mut first)).then(|| {
            store.wants.as_mut().unwrap().0 = vec!["Bearer t2".to_owned()];
            Act::Reply(Reply::new(200).body(sent.clone()).cut(400_000))
        })
    });
    server.add_blob("team/app", &bytes);
    want_tokens(&server, &service, &["t1"]);
    let repository = repository_of(&server, Credentials::Anonymous);
    assert_eq!(pull(&repository, &bytes).unwrap(), bytes);
    assert_eq!(service.count("GET", "/token"), 2);
    assert!(
        service
            .store()
            .log
            .iter()
            .all(|seen| seen.header("authorization").is_empty())
    );
}

#[test]
fn a_token_that_ends_in_the_middle_of_an_upload_is_renewed() {
    use crate::blob::BlobSink;
    // Before which requests it ends.
    for (chunk, ends) in [(None, &["PUT"][..]), (Some(1000), &["PATCH", "PUT"])] {
        let bytes = noise(8, 3500);
        let service = Server::scripted(|_, store| {
            let body = format!("{{\"token\":\"t{}\"}}", store.log.len());
            Some(Act::Reply(Reply::new(200).body(body)))
        });
        let mut ended = 0;
        let server = Server::scripted(move |seen, store| {
            if ends
                .get(ended)
                .is_some_and(|method| seen.is(method, "/uploads/"))
            {
                ended += 1;
                store.wants.as_mut().unwrap().0 = vec![format!("Bearer t{}", ended + 1)];
            }
            None
        });
        want_tokens(&server, &service, &["t1"]);
        let options = Options {
            chunk,
            ..Options::default()
        };
        let keychain = Arc::new(Ann(basic()));
        let (repository, clock) = repository_as(&server.host(), "team/app", keychain, options);
        let shelf = Shelf(vec![bytes.clone()]);
        repository.put(&described(&bytes), &shelf).unwrap();
        let key = ("team/app".to_owned(), Digest::of(&bytes).to_string());
        assert!(server.store().blobs[&key] == bytes);
        assert_eq!(service.count("GET", "/token"), 1 + ends.len());
        assert!(clock.waits.lock().unwrap().is_empty());
    }
}

#[test]
fn an_identity_token_is_exchanged_and_a_bearer_token_shown_as_it_is() {
    let bytes = noise(4, 1000);
    let service =
        Server::scripted(|_, _| Some(Act::Reply(Reply::new(200).body(r#"{"access_token":"t"}"#))));
    let server = Server::start();
    server.add_blob("team/app", &bytes);
    want_tokens(&server, &service, &["t"]);
    let identity = repository_of(&server, Credentials::Identity(Secret::new("refresh")));
    assert_eq!(pull(&identity, &bytes).unwrap(), bytes);
    assert_eq!(service.count("POST", "/token"), 1);
    let bearer = repository_of(&server, Credentials::Bearer(Secret::new("t")));
    assert_eq!(pull(&bearer, &bytes).unwrap(), bytes);
    assert_eq!(
        service.count("", "/token") + service.count("POST", "/token"),
        1
    );
}

#[test]
fn what_a_token_service_answers_is_not_repeated() {
    for body in [
        r#"{"token":"hunter2"#,
        r#"{"token":7,"x":"hunter2"}"#,
        r#"{"x":"hunter2"}"#,
    ] {
        let service = Server::scripted(move |_, _| Some(Act::Reply(Reply::new(200).body(body))));
        let server = Server::start();
        want_tokens(&server, &service, &[]);
        let error = pull(&repository_of(&server, basic()), b"x").unwrap_err();
        let all = format!("{} {error:?}", told(&error));
        assert!(
            all.contains("its answer") && !all.contains("hunter2"),
            "{all}"
        );
    }
}

#[test]
fn credentials_do_not_follow_a_redirect_to_another_host() {
    let bytes = noise(5, 300_000);
    for (from_localhost, credentials) in [
        (false, basic()),
        (true, Credentials::Bearer(Secret::new("t"))),
    ] {
        let store = Server::start();
        let digest = Digest::of(&bytes);
        store
            .store()
            .blobs
            .insert(("cdn".to_owned(), digest.to_string()), bytes.clone());
        let location = format!("http://{}/v2/cdn/blobs/{digest}?signature=x", store.host());
        let server = Server::scripted(move |seen, _| {
            let known = !seen.header("authorization").is_empty();
            known.then(|| Act::Reply(Reply::new(307).header("location", &location)))
        });
        server.store().wants = Some((Vec::new(), "Basic realm=\"x\"".to_owned()));
        let host = match from_localhost {
            true => format!("localhost:{}", server.address.port()),
            false => server.host(),
        };
        let keychain = Arc::new(Ann(credentials));
        let (repository, _) = repository_as(&host, "team/app", keychain, Options::default());
        assert_eq!(pull(&repository, &bytes).unwrap(), bytes);
        let store = store.store();
        assert!(!store.log.is_empty());
        assert!(
            store
                .log
                .iter()
                .all(|seen| seen.header("authorization").is_empty())
        );
    }
}

#[test]
fn credentials_do_not_follow_an_upload_to_another_host() {
    let elsewhere = Server::start();
    elsewhere.store().uploads.insert(5, Vec::new());
    let location = format!(
        "http://{}/v2/team/app/blobs/uploads/5?_state=a%2Fb==",
        elsewhere.host()
    );
    let server = Server::scripted(move |seen, _| {
        seen.is("POST", "")
            .then(|| Act::Reply(Reply::new(202).header("location", &location)))
    });
    let repository = repository_of(&server, Credentials::Bearer(Secret::new("t")));
    use crate::blob::BlobSink;
    repository
        .put(&described(b"x"), &Shelf(vec![b"x".to_vec()]))
        .unwrap();
    assert!(
        elsewhere
            .store()
            .log
            .iter()
            .all(|seen| seen.header("authorization").is_empty())
    );
    assert_eq!(elsewhere.count("PUT", ""), 1);
}

#[test]
fn nothing_leads_from_tls_to_plain_http() {
    let (pem, config) = authority("localhost");
    let plain = Server::start();
    let location = format!("http://{}/v2/team/app/tags/list", plain.host());
    let server = Server::secure_and_scripted(config, move |_, _| {
        Some(Act::Reply(Reply::new(307).header("location", &location)))
    });
    let error = secure(&server, &[&pem]).tags().unwrap_err();
    assert!(told(&error).contains("plain HTTP"), "{}", told(&error));
    assert_eq!(plain.count("GET", ""), 0);
}

#[test]
fn redirects_in_a_circle_end() {
    let server = Server::scripted(|seen, _| {
        Some(Act::Reply(Reply::new(302).header("location", &seen.target)))
    });
    let error = repository(&server).0.tags().unwrap_err().to_string();
    assert!(error.contains("more than 10 redirects"), "{error}");
    assert_eq!(server.count("GET", ""), 11);
}

/// A certificate authority, and a server's configuration with a certificate of it for `name`.
fn authority(name: &str) -> (String, rustls::ServerConfig) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = parameters.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(parameters, key);
    let own = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = parameters.signed_by(&own, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(own.serialize_der()).unwrap(),
        )
        .unwrap();
    (root.pem(), config)
}

fn secure(server: &Server, roots: &[&str]) -> Repository {
    let mut options = http::Options::default();
    let mut trusted = Roots::default();
    for pem in roots {
        trusted.add_pem(pem.as_bytes(), "ca.pem").unwrap();
    }
    options.roots = trusted;
    let reference = format!("localhost:{}/team/app:1", server.address.port())
        .parse()
        .unwrap();
    let tls = Options {
        tls: true,
        ..Options::default()
    };
    Repository::new(client(options).0, &reference, Arc::new(Anonymous), tls).unwrap()
}

#[test]
fn a_private_authority_is_trusted_when_it_is_given() {
    let bytes = noise(6, 300_000);
    let (pem, config) = authority("localhost");
    let (other, _) = authority("localhost");
    let server = Server::secure(config);
    server.add_blob("team/app", &bytes);
    assert_eq!(
        pull(&secure(&server, &[&pem, &other]), &bytes).unwrap(),
        bytes
    );
    for (roots, reason) in [
        (vec![other.as_str()], "cannot connect"),
        (Vec::new(), "no certificates"),
    ] {
        let error = pull(&secure(&server, &roots), &bytes).unwrap_err();
        assert!(told(&error).contains(reason), "{}", told(&error));
    }
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    let (pem, config) = authority("elsewhere.example");
    let server = Server::secure(config);
    let error = pull(&secure(&server, &[&pem]), b"x").unwrap_err();
    assert!(told(&error).contains("certificate"), "{}", told(&error));
}

#[test]
fn a_proxy_stands_in_between() {
    let (proxy, bytes) = (Server::start(), noise(7, 1000));
    proxy.add_blob("team/app", &bytes);
    let (client, _) = client(http::Options {
        plain_http: true,
        proxies: Proxies {
            http: Some(format!("http://{}", proxy.host())),
            ..Proxies::default()
        },
        ..http::Options::default()
    });
    let reference = "registry.example:5000/team/app:1".parse().unwrap();
    let repository =
        Repository::new(client, &reference, Arc::new(Anonymous), Options::default()).unwrap();
    assert_eq!(pull(&repository, &bytes).unwrap(), bytes);
    let store = proxy.store();
    assert!(
        store.log[0].is("CONNECT", "registry.example:5000"),
        "{:?}",
        store.log[0]
    );
}
