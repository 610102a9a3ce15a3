//! What is written down of each request.

/// A request that a guest made, and what came of it.
///
/// Texts are the guest's: control characters are replaced, and they are bounded in length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// `GET`, `CONNECT` and so on.
    pub method: String,
    /// What was asked for: a URL, or `HOST:PORT` of a tunnel.
    pub url: String,
    /// The status of the answer, where the proxy sees it.
    pub status: Option<u16>,
    /// How many bytes of content went to the guest; of a tunnel, all of its bytes.
    pub received: u64,
    /// How many bytes of content came from the guest.
    pub sent: u64,
    /// The SHA-256 of the content, where the proxy sees it and it was complete.
    pub sha256: Option<[u8; 32]>,
    /// Why it was refused or failed.
    pub problem: Option<String>,
}

/// The longest text that is written down, in characters.
const MAX_TEXT: usize = 2000;

impl Request {
    pub(super) fn new(method: &str, url: &str) -> Self {
        Self {
            method: shown(method),
            url: shown(url),
            ..Self::default()
        }
    }

    pub(super) fn refused(method: &str, url: &str, problem: &str) -> Self {
        Self {
            problem: Some(shown(problem)),
            ..Self::new(method, url)
        }
    }

    /// Returns how much it takes in bytes.
    pub(super) fn size(&self) -> usize {
        let problem = self.problem.as_ref().map_or(0, String::len);
        size_of::<Self>() + self.method.len() + self.url.len() + problem
    }

    /// Takes note of why it failed; a text in which there may be the guest's words.
    pub(super) fn failed(&mut self, problem: &str) {
        self.problem = Some(shown(problem));
    }
}

fn shown(text: &str) -> String {
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(MAX_TEXT).map(printable).collect()
}
