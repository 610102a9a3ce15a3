//! Debian's registry on a port of this machine, and a server for files.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::process::{Run, Running};
use crate::scratch::Scratch;

/// Who may use a guarded registry.
pub const USER: &str = "ann";
/// The password of that user.
pub const PASSWORD: &str = "s3cret";
/// What `htpasswd -B` makes of it.
const HASH: &str = "$2b$04$AaJThNIsaEfxNvOtp3Hi.uI2DNkltBvquIBVInsPsWg7hOwGXn26a";

/// Makes an authority and a certificate of it for `localhost`.
const CERTIFY: &str = r"
curve='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
openssl req -x509 $curve -keyout ca.key -out ca.crt -subj /CN=authority -days 2
openssl req $curve -keyout server.key -out server.csr -subj /CN=localhost
echo subjectAltName=DNS:localhost > names
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt
";

/// A registry; it ends when this is dropped.
#[derive(Debug)]
pub struct Registry {
    host: String,
    _running: Running,
}

impl Registry {
    /// Starts `docker-registry`, which keeps everything in a folder.
    ///
    /// # Panics
    /// When it does not answer within half a minute.
    #[must_use]
    pub fn start(folder: &Path) -> Self {
        Self::configured(folder, "", " 200 ")
    }

    /// Starts a `docker-registry` that speaks TLS, with a certificate for `localhost` of the authority in `ca.crt`, and asks
    /// for a name ([`USER`]) and a password ([`PASSWORD`]).
    ///
    /// # Panics
    /// As [`start`](Self::start); when openssl fails.
    #[must_use]
    pub fn start_guarded(folder: &Path) -> Self {
        let run = Run::new("bash").args(["-euc", CERTIFY]).dir(folder);
        run.limit(60).ok();
        fs::write(folder.join("users"), format!("{USER}:{HASH}\n")).expect("the folder is ours");
        let at = |name: &str| folder.join(name).display().to_string();
        let more = format!(
            "  tls:\n    certificate: {}\n    key: {}\nauth:\n  htpasswd:\n    realm: forger\n    path: {}\n",
            at("server.crt"),
            at("server.key"),
            at("users")
        );
        // What it says to somebody who speaks no TLS.
        let mut registry = Self::configured(folder, &more, " 400 ");
        registry.host = registry.host.replace("127.0.0.1", "localhost");
        registry
    }

    /// Starts one with more in its configuration, and waits until its first line has `answer`.
    fn configured(folder: &Path, more: &str, answer: &str) -> Self {
        // Between here and the start somebody else may take the port: then it is another one.
        for _ in 0..5 {
            let port = free_port();
            let host = format!("127.0.0.1:{port}");
            let config = folder.join("registry.yml");
            let text = format!(
                "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    \
                 rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {host}\n{more}",
                folder.join("registry").display()
            );
            fs::write(&config, text).expect("the folder is ours");
            let run = Run::new("docker-registry")
                .arg("serve")
                .arg(&config)
                .limit(3600);
            let mut running = run.start().expect("docker-registry starts");
            if answers(&host, &mut running, answer) {
                return Self {
                    host,
                    _running: running,
                };
            }
        }
        panic!("docker-registry does not answer");
    }

    /// Returns host and port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns a reference into the registry.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.host)
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there are ports");
    listener.local_addr().expect("it is bound").port()
}

/// Waits until the registry answers; false where it ended instead.
fn answers(host: &str, running: &mut Running, answer: &str) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) && running.runs() {
        if let Ok(mut stream) = TcpStream::connect(host) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let mut line = String::new();
            let asked = write!(stream, "GET /v2/ HTTP/1.0\r\nHost: {host}\r\n\r\n");
            let read = BufReader::new(stream).read_line(&mut line);
            if asked.is_ok() && read.is_ok() && line.contains(answer) {
                return true;
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Serves the files of a folder over HTTP, for as long as the test runs; returns its URL.
///
/// # Panics
/// When there is no port.
#[must_use]
pub fn serve_files(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there are ports");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // What goes wrong shows in what the client makes of it.
            let _ = answer(stream, &folder);
        }
    });
    url
}

fn answer(stream: TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut reader = BufReader::new(&stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
    }
    let path = first
        .split(' ')
        .nth(1)
        .unwrap_or_default()
        .trim_start_matches('/');
    let mut stream = &stream;
    match fs::read(folder.join(path)) {
        Ok(bytes) => {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                bytes.len()
            )?;
            stream.write_all(&bytes)
        }
        Err(_) => write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        ),
    }
}

/// Makes an image layout with layers of these bytes, tagged `1`, and returns its folder.
///
/// # Panics
/// When it cannot be written.
#[must_use]
pub fn layout(scratch: &Scratch, name: &str, layers: &[Vec<u8>]) -> PathBuf {
    let folder = scratch.path(name);
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("the scratch folder takes folders");
    let put = |media_type: &str, bytes: &[u8]| {
        let digest = sha256(bytes);
        fs::write(blobs.join(&digest), bytes).expect("there is room");
        serde_json::json!({
            "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len(),
        })
    };
    let layer = "application/vnd.oci.image.layer.v1.tar";
    let layers: Vec<_> = layers.iter().map(|bytes| put(layer, bytes)).collect();
    let ids: Vec<_> = layers.iter().map(|layer| &layer["digest"]).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": ["/bin/true"] },
        "rootfs": { "type": "layers", "diff_ids": ids },
    });
    let config = put(
        "application/vnd.oci.image.config.v1+json",
        config.to_string().as_bytes(),
    );
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers,
    });
    let mut manifest = put(kind, manifest.to_string().as_bytes());
    manifest["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": "1" });
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(folder.join("index.json"), index.to_string()).expect("there is room");
    let mark = r#"{"imageLayoutVersion":"1.0.0"}"#;
    fs::write(folder.join("oci-layout"), mark).expect("there is room");
    folder
}

/// Returns the SHA-256 of some bytes, as `sha256sum` says it.
///
/// # Panics
/// When there is no such program.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    let text = Run::new("sha256sum").stdin(bytes).ok().text();
    text[..64].to_owned()
}
