//! What the surroundings say: environment, user, clock. Only the binary asks them.

use std::ffi::OsString;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use forger_fs::tree::Time;
use forger_oci::http::{Proxies, Secret};

use crate::args::network::NetworkVariables;

/// What commands may know of the world around them.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// `SOURCE_DATE_EPOCH`, when set and not empty.
    pub(crate) source_date_epoch: Option<OsString>,
    /// The effective user id.
    pub(crate) uid: u32,
    /// Reads the clock.
    pub(crate) clock: fn() -> Time,
}

impl Environment {
    /// Asks the real surroundings.
    pub(crate) fn real() -> Self {
        Self {
            source_date_epoch: variable("SOURCE_DATE_EPOCH"),
            uid: rustix::process::geteuid().as_raw(),
            clock: now,
        }
    }
}

/// Tells whether standard error is a terminal whose cursor can be moved.
pub(crate) fn terminal() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    std::io::stderr().is_terminal() && !dumb
}

/// Tells whether standard error may be painted.
pub(crate) fn colours() -> bool {
    terminal() && variable("NO_COLOR").is_none()
}

/// Returns how many processors this process may use.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Returns the platform that images are for when nothing else is said: Linux on this machine's processor.
pub(crate) fn platform() -> forger_oci::Platform {
    forger_oci::Platform::new("linux", std::env::consts::ARCH, None)
}

/// Returns the effective group id.
pub(crate) fn group() -> u32 {
    rustix::process::getegid().as_raw()
}

/// Returns the folder for unnamed temporary files.
pub(crate) fn scratch_folder() -> PathBuf {
    variable("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
}

/// What the environment says of the network.
pub(crate) fn network_variables() -> NetworkVariables {
    // As curl and Go do: the lower case where both are set.
    let either = |name: &str| {
        let lower = variable(&name.to_ascii_lowercase());
        let value = lower.or_else(|| variable(name))?;
        value.into_string().ok()
    };
    let secret = |name: &str| variable(name)?.into_string().ok().map(Secret::new);
    NetworkVariables {
        proxies: Proxies {
            http: either("HTTP_PROXY"),
            https: either("HTTPS_PROXY"),
            all: either("ALL_PROXY"),
            none: either("NO_PROXY").unwrap_or_default(),
        },
        certificates: variable("SSL_CERT_FILE"),
        bearer: secret("FORGER_OCI_BEARER"),
        github: secret("GITHUB_TOKEN"),
        auth_files: auth_files(),
    }
}

/// The files in which systems keep the certificates that they trust, of which one has the first.
pub(crate) fn certificate_bundles() -> &'static [&'static str] {
    &[
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ]
}

/// The files of credentials, podman's before docker's.
fn auth_files() -> Vec<PathBuf> {
    let folder = |name: &str| variable(name).map(PathBuf::from);
    let podman = folder("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json"));
    let settings = settings_folder().map(|folder| folder.join("containers/auth.json"));
    let mut files: Vec<PathBuf> = folder("REGISTRY_AUTH_FILE").into_iter().collect();
    files.extend(podman.into_iter().chain(settings).chain(docker_file()));
    files
}

/// The file in which `forger login` keeps what it is told.
pub(crate) fn login_file() -> Option<PathBuf> {
    variable("REGISTRY_AUTH_FILE")
        .map(PathBuf::from)
        .or_else(docker_file)
}

fn docker_file() -> Option<PathBuf> {
    let own = variable("DOCKER_CONFIG").map(PathBuf::from);
    let home = || home().map(|home| home.join(".docker"));
    Some(own.or_else(home)?.join("config.json"))
}

/// The user's folder of settings.
pub(crate) fn settings_folder() -> Option<PathBuf> {
    let own = variable("XDG_CONFIG_HOME").map(PathBuf::from);
    own.or_else(|| Some(home()?.join(".config")))
}

/// The folder of the local store: `FORGER_STORE`, else in the user's folder of data.
pub(crate) fn store_folder() -> Option<PathBuf> {
    let data = variable("XDG_DATA_HOME").map(PathBuf::from);
    let data = data.or_else(|| Some(home()?.join(".local/share")));
    let own = variable("FORGER_STORE").map(PathBuf::from);
    own.or_else(|| Some(data?.join("forger")))
}

/// The catalog that is meant when none is named: `FORGER_CATALOG`, else in the user's settings.
pub(crate) fn catalog() -> Option<OsString> {
    let settings = || {
        Some(
            settings_folder()?
                .join("forger/catalog.json")
                .into_os_string(),
        )
    };
    variable("FORGER_CATALOG").or_else(settings)
}

fn home() -> Option<PathBuf> {
    variable("HOME").map(PathBuf::from)
}

/// Returns the seconds since 1970.
pub(crate) fn seconds() -> u64 {
    u64::try_from(now().sec).unwrap_or(0)
}

/// Returns the folder of what goes with the user's session.
pub(crate) fn runtime_folder() -> Option<PathBuf> {
    variable("XDG_RUNTIME_DIR").map(PathBuf::from)
}

/// Returns folders that may hold a guest's memory, best first.
pub(crate) fn memory_folders() -> Vec<PathBuf> {
    let named = ["TMPDIR", "XDG_RUNTIME_DIR"]
        .iter()
        .filter_map(|name| variable(name));
    let known = ["/dev/shm", "/tmp", "/var/tmp"].map(OsString::from);
    named.chain(known).map(PathBuf::from).collect()
}

/// Returns the folder for what is kept between runs and can be made again.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let home = || Some(PathBuf::from(variable("HOME")?).join(".cache"));
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    cache.map(|folder| folder.join("forger"))
}

/// Looks a program up in `PATH` and the folders of system programs.
pub(crate) fn program(names: &[&str]) -> Option<PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    let system = ["/usr/local/bin", "/usr/bin"].map(PathBuf::from);
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(system).collect();
    let candidates = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates
        .filter(|path| path.is_absolute())
        .find(|path| path.is_file())
}

/// Returns the value of a variable for `--env NAME`.
pub(crate) fn passed_on(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Returns random bytes of the system.
pub(crate) fn random() -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 64];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Returns an environment variable that is set and not empty.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn now() -> Time {
    // A clock before 1970 is as good as 1970 here.
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time {
        sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nsec: since.subsec_nanos(),
    }
}
