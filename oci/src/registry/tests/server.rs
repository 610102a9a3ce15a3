//! A registry in memory that can be told to misbehave.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::Digest;

/// A request, as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    /// Names in lower case.
    pub(super) headers: HashMap<String, String>,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn length(&self) -> usize {
        self.header("content-length").parse().unwrap_or(0)
    }

    pub(super) fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.target.contains(part)
    }
}

/// What is done instead of the right thing.
pub(super) enum Act {
    /// Answers.
    Reply(Reply),
    /// Reads so many bytes of the body and hangs up.
    HangUp(usize),
    /// Keeps only so many bytes of a chunk, and says so.
    Keep(usize),
    /// Says nothing for so long.
    Sleep(Duration),
}

/// An answer.
#[derive(Clone, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Hangs up after so many bytes of the body.
    pub(super) cut: Option<usize>,
    /// Sends the body again and again, without a length.
    pub(super) endless: bool,
}

impl Reply {
    pub(super) fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(super) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn cut(mut self, count: usize) -> Self {
        self.cut = Some(count);
        self
    }
}

type Script = Box<dyn FnMut(&Seen, &mut Store) -> Option<Act> + Send>;

/// What the registry holds.
#[derive(Default)]
pub(super) struct Store {
    /// By repository and digest.
    pub(super) blobs: HashMap<(String, String), Vec<u8>>,
    /// By repository and tag or digest: media type and bytes.
    pub(super) manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    pub(super) uploads: HashMap<usize, Vec<u8>>,
    pub(super) log: Vec<Seen>,
    /// What every request must show, and what is answered where it does not.
    pub(super) wants: Option<(Vec<String>, String)>,
    begun: usize,
}

/// A registry on a port of this machine.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    store: Arc<Mutex<Store>>,
}

impl Server {
    pub(super) fn start() -> Self {
        Self::scripted(|_, _| None)
    }

    pub(super) fn scripted(
        script: impl FnMut(&Seen, &mut Store) -> Option<Act> + Send + 'static,
    ) -> Self {
        Self::with(None, Box::new(script))
    }

    pub(super) fn secure(config: rustls::ServerConfig) -> Self {
        Self::with(Some(Arc::new(config)), Box::new(|_, _| None))
    }

    pub(super) fn secure_and_scripted(
        config: rustls::ServerConfig,
        script: impl FnMut(&Seen, &mut Store) -> Option<Act> + Send + 'static,
    ) -> Self {
        Self::with(Some(Arc::new(config)), Box::new(script))
    }

    fn with(tls: Option<Arc<rustls::ServerConfig>>, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let store = Arc::new(Mutex::new(Store::default()));
        let (shared, script) = (store.clone(), Arc::new(Mutex::new(script)));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), shared, script) = (stream, shared.clone(), script.clone()) else {
                    break;
                };
                let tls = tls.clone();
                std::thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
                    // What goes wrong here shows in what the client makes of it.
                    let _ = converse(stream, tls, &shared, &script);
                });
            }
        });
        Self { address, store }
    }

    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    pub(super) fn add_blob(&self, repository: &str, bytes: &[u8]) {
        let key = (repository.to_owned(), Digest::of(bytes).to_string());
        self.store().blobs.insert(key, bytes.to_vec());
    }

    /// Counts the requests of a method whose target has a part.
    pub(super) fn count(&self, method: &str, part: &str) -> usize {
        let store = self.store();
        store
            .log
            .iter()
            .filter(|seen| seen.is(method, part))
            .count()
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn converse(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    store: &Mutex<Store>,
    script: &Mutex<Script>,
) -> std::io::Result<()> {
    let stream: Box<dyn Stream> = match tls {
        None => Box::new(stream),
        Some(config) => {
            let connection =
                rustls::ServerConnection::new(config).map_err(std::io::Error::other)?;
            Box::new(rustls::StreamOwned::new(connection, stream))
        }
    };
    let mut stream = BufReader::new(stream);
    while let Some(seen) = head(&mut stream)? {
        if seen.method == "CONNECT" {
            store.lock().unwrap().log.push(seen);
            write!(stream.get_mut(), "HTTP/1.1 200 Connected\r\n\r\n")?;
            stream.get_mut().flush()?;
            continue;
        }
        let act = {
            let mut store = store.lock().unwrap();
            store.log.push(seen.clone());
            let act = script.lock().unwrap()(&seen, &mut store);
            act.or_else(|| store.challenge(&seen).map(Act::Reply))
        };
        let mut keep = usize::MAX;
        let reply = match act {
            Some(Act::HangUp(count)) => {
                stream.read_exact(&mut vec![0; count])?;
                return Ok(());
            }
            Some(Act::Sleep(pause)) => {
                std::thread::sleep(pause);
                return Ok(());
            }
            Some(Act::Keep(count)) => {
                keep = count;
                None
            }
            Some(Act::Reply(reply)) => Some(reply),
            None => None,
        };
        let mut body = vec![0; seen.length()];
        stream.read_exact(&mut body)?;
        body.truncate(keep);
        let reply = reply.unwrap_or_else(|| store.lock().unwrap().answer(&seen, body));
        if !send(stream.get_mut(), &reply, seen.method == "HEAD")? {
            return Ok(());
        }
    }
    Ok(())
}

fn head(stream: &mut impl BufRead) -> std::io::Result<Option<Seen>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            return Ok(Some(Seen {
                method,
                target,
                headers,
            }));
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
}

/// Sends an answer; false where the connection ends with it.
fn send(stream: &mut impl Write, reply: &Reply, head_only: bool) -> std::io::Result<bool> {
    write!(stream, "HTTP/1.1 {} Whatever\r\n", reply.status)?;
    for (name, value) in &reply.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    let has_length = reply
        .headers
        .iter()
        .any(|(name, _)| name == "content-length");
    match reply.endless {
        true => write!(stream, "transfer-encoding: chunked\r\n\r\n")?,
        false if has_length => write!(stream, "\r\n")?,
        false => write!(stream, "content-length: {}\r\n\r\n", reply.body.len())?,
    }
    if reply.endless {
        loop {
            write!(stream, "{:x}\r\n", reply.body.len())?;
            stream.write_all(&reply.body)?;
            write!(stream, "\r\n")?;
        }
    }
    if !head_only {
        let end = reply.cut.unwrap_or(reply.body.len());
        stream.write_all(&reply.body[..end])?;
    }
    stream.flush()?;
    Ok(reply.cut.is_none())
}

impl Store {
    /// Refuses who does not show what is wanted.
    fn challenge(&self, seen: &Seen) -> Option<Reply> {
        let (accepted, challenge) = self.wants.as_ref()?;
        let shown = seen.headers.get("authorization");
        let known = shown.is_some_and(|shown| accepted.contains(shown));
        (!known && seen.target.starts_with("/v2/"))
            .then(|| Reply::new(401).header("www-authenticate", challenge))
    }

    /// Does the right thing.
    fn answer(&mut self, seen: &Seen, body: Vec<u8>) -> Reply {
        let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
        let query: HashMap<&str, String> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name, value.replace("%3A", ":").replace("%2F", "/")))
            .collect();
        let rest = path.trim_start_matches("/v2/");
        let split = |mark: &str| {
            let (repository, name) = rest.split_once(mark)?;
            Some((repository.to_owned(), name.to_owned()))
        };
        if rest.is_empty() {
            return Reply::new(200).body("{}");
        }
        if let Some((repository, id)) = split("/blobs/uploads/") {
            return self.upload(seen, &repository, &id, &query, body);
        }
        if let Some(key) = split("/blobs/") {
            return match self.blobs.get(&key) {
                Some(bytes) => part(bytes, seen.header("range")),
                None => Reply::new(404).body(r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#),
            };
        }
        if let Some((repository, name)) = split("/manifests/") {
            return self.manifest(seen, repository, name, body);
        }
        if let Some((repository, _)) = split("/tags/list") {
            return self.tags(&repository, &query);
        }
        Reply::new(404)
    }

    fn upload(
        &mut self,
        seen: &Seen,
        repository: &str,
        id: &str,
        query: &HashMap<&str, String>,
        body: Vec<u8>,
    ) -> Reply {
        if seen.method == "POST" {
            if let (Some(digest), Some(from)) = (query.get("mount"), query.get("from"))
                && let Some(bytes) = self.blobs.get(&(from.clone(), digest.clone())).cloned()
            {
                self.blobs
                    .insert((repository.to_owned(), digest.clone()), bytes);
                return Reply::new(201);
            }
            self.begun += 1;
            self.uploads.insert(self.begun, Vec::new());
            // Relative, with a query that must survive.
            let location = format!(
                "/v2/{repository}/blobs/uploads/{}?_state=a%2Fb==",
                self.begun
            );
            return Reply::new(202).header("location", location);
        }
        let id: usize = id.parse().unwrap();
        assert_eq!(
            query.get("_state").map(String::as_str),
            Some("a/b=="),
            "{seen:?}"
        );
        let Some(upload) = self.uploads.get_mut(&id) else {
            return Reply::new(404);
        };
        let first: Option<usize> = seen
            .header("content-range")
            .split('-')
            .next()
            .unwrap()
            .parse()
            .ok();
        if first.is_some_and(|first| first != upload.len()) {
            return Reply::new(416);
        }
        upload.extend(body);
        let location = format!("/v2/{repository}/blobs/uploads/{id}?_state=a%2Fb==");
        let last = upload.len().saturating_sub(1);
        match seen.method.as_str() {
            "PATCH" | "GET" => Reply::new(if seen.method == "GET" { 204 } else { 202 })
                .header("location", location)
                .header("range", format!("0-{last}")),
            _ => {
                let digest = query["digest"].clone();
                let bytes = self.uploads.remove(&id).unwrap();
                if Digest::of(&bytes).to_string() != digest {
                    return Reply::new(400)
                        .body(r#"{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}"#);
                }
                self.blobs
                    .insert((repository.to_owned(), digest.clone()), bytes);
                Reply::new(201).header("docker-content-digest", digest)
            }
        }
    }

    fn manifest(&mut self, seen: &Seen, repository: String, name: String, body: Vec<u8>) -> Reply {
        if seen.method == "PUT" {
            let digest = Digest::of(&body).to_string();
            let kind = seen.header("content-type").to_owned();
            for name in [name, digest.clone()] {
                let key = (repository.clone(), name);
                self.manifests.insert(key, (kind.clone(), body.clone()));
            }
            return Reply::new(201).header("docker-content-digest", digest);
        }
        match self.manifests.get(&(repository, name)) {
            Some((kind, bytes)) => Reply::new(200)
                .header("content-type", kind)
                .header("docker-content-digest", Digest::of(bytes))
                .body(bytes.clone()),
            None => Reply::new(404).body(r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#),
        }
    }

    /// Two tags a page.
    fn tags(&self, repository: &str, query: &HashMap<&str, String>) -> Reply {
        let last = query.get("last").cloned().unwrap_or_default();
        let all = self
            .manifests
            .keys()
            .filter(|(name, tag)| name == repository && *tag > last);
        let all: Vec<&str> = all
            .map(|(_, tag)| tag.as_str())
            .filter(|tag| !tag.contains(':'))
            .collect();
        let page = &all[..all.len().min(2)];
        let body = serde_json::json!({ "name": repository, "tags": page });
        let reply = Reply::new(200).body(body.to_string());
        match page.last() {
            Some(last) if page.len() < all.len() => {
                let next = format!("</v2/{repository}/tags/list?last={last}>; rel=\"next\"");
                reply.header("link", next)
            }
            _ => reply,
        }
    }
}

/// Answers with a blob, or with a part of it.
pub(super) fn part(bytes: &[u8], range: &str) -> Reply {
    let from = range
        .strip_prefix("bytes=")
        .and_then(|range| range.strip_suffix('-'));
    match from.and_then(|from| from.parse::<usize>().ok()) {
        Some(from) => Reply::new(206)
            .header(
                "content-range",
                format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len()),
            )
            .body(&bytes[from..]),
        None => Reply::new(200).body(bytes),
    }
}
