//! A blob in one piece or in chunks
//! ([distribution-spec, "Pushing blobs"](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-blobs)).

use std::io::Read;
use std::time::Duration;

use super::repository::Repository;
use super::session::{Session, received};
use super::{Error, authority::Scope};
use crate::blob::{self, Blobs};
use crate::http::{self, Body, Method, Request, Response, is_transient};
use crate::{Descriptor, Digest};

/// The length of a chunk unless asked otherwise, in bytes: more than this some registries refuse.
pub(super) const CHUNK: u64 = 4 << 20;
/// The longest chunk that is held in memory, in bytes.
pub(super) const LONGEST_CHUNK: u64 = 16 << 20;

/// How a blob is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// With one request.
    Whole,
    /// With one request for each chunk.
    Chunks,
}

/// Why an upload came to nothing.
enum Trouble {
    /// Another attempt will not help.
    Final(crate::Error),
    /// Another attempt, perhaps in another way, may.
    Again(Error, Way),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Final(error.into())
    }
}

impl From<http::Error> for Trouble {
    fn from(error: http::Error) -> Self {
        Error::from(error).into()
    }
}

/// A blob on its way into a repository.
pub(super) struct Upload<'a> {
    pub(super) repository: &'a Repository,
    pub(super) blob: &'a Descriptor,
    pub(super) digest: Digest,
    pub(super) from: &'a dyn Blobs,
}

impl Upload<'_> {
    /// Brings the blob in, whatever it takes.
    pub(super) fn run(&self) -> crate::Result<()> {
        let asked = self.repository.options().chunk;
        let small = self.blob.size() <= CHUNK;
        let mut way = match asked {
            Some(_) => Way::Chunks,
            None => Way::Whole,
        };
        let client = self.repository.authority().client();
        for attempt in 1_u32.. {
            let Some(session) = self.begin()? else {
                return Ok(());
            };
            let result = match way {
                Way::Whole => self.send_whole(&session),
                Way::Chunks => self.send_chunks(session),
            };
            let (error, next) = match result {
                Ok(()) => return Ok(()),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Again(error, next)) => (error, next),
            };
            // The answer may have been lost, and nothing else.
            if self.repository.has_blob(&self.digest, self.blob.size())? {
                return Ok(());
            }
            let Some(wait) = client.schedule().wait(attempt, error.asks_to_wait()) else {
                return Err(error.into());
            };
            client.pause(wait, &error.to_string())?;
            way = if small && asked.is_none() {
                Way::Whole
            } else {
                next
            };
        }
        Ok(())
    }

    fn scope(&self) -> Scope {
        Scope::push(self.repository.name())
    }

    fn send(&self, request: &Request<'_>) -> Result<Response, Error> {
        self.repository.authority().send(request, &self.scope())
    }

    fn refusal(&self, method: Method, response: Response) -> Error {
        self.repository.authority().refusal(method, response)
    }

    /// Begins an upload; none where the blob was mounted from another repository instead.
    fn begin(&self) -> Result<Option<Session>, Error> {
        let url = self.repository.uploads()?;
        for from in &self.repository.options().mount_from {
            let mount = url
                .with_parameter("mount", &self.digest.to_string())
                .with_parameter("from", from);
            let scope = self.scope().and_pull(from);
            let request = Request::new(Method::Post, mount);
            // Whatever is wrong with this: it can be done without.
            let Ok(response) = self.repository.authority().send(&request, &scope) else {
                continue;
            };
            match response.status() {
                201 => return Ok(None),
                202 => return Session::begun(&response).map(Some),
                _ => {}
            }
        }
        let response = self.send(&Request::new(Method::Post, url))?;
        match response.status() {
            // The specification has 202; some say 201 and mean it.
            201 | 202 => Session::begun(&response).map(Some),
            _ => Err(self.refusal(Method::Post, response)),
        }
    }

    fn send_whole(&self, session: &Session) -> Result<(), Trouble> {
        let open = || -> std::io::Result<Box<dyn Read>> {
            Ok(Box::new(blob::open(self.from, self.blob)?))
        };
        let body = Body::Stream {
            length: self.blob.size(),
            open: &open,
        };
        let request = Request::new(Method::Put, session.end(&self.digest.to_string()))
            .header("content-type", "application/octet-stream")
            .body(body)
            .once();
        let response = match self.send(&request) {
            Ok(response) => response,
            Err(Error::Http(http::Error::Source { source, .. })) => {
                let what = format!("blob {}", self.digest);
                return Err(Trouble::Final(crate::Error::read(what, source)));
            }
            Err(Error::Http(error)) if error.is_transient() => {
                return Err(Trouble::Again(error.into(), Way::Chunks));
            }
            Err(error) => return Err(error.into()),
        };
        match response.status() {
            201 | 202 | 204 => Ok(self.check_stored(&response)?),
            // Too much at once.
            413 => Err(Trouble::Again(
                self.refusal(Method::Put, response),
                Way::Chunks,
            )),
            status if is_transient(status) || status == 404 => {
                // Chunks are more requests, not fewer.
                let way = match status {
                    404 | 429 => Way::Whole,
                    _ => Way::Chunks,
                };
                Err(Trouble::Again(self.refusal(Method::Put, response), way))
            }
            _ => Err(self.refusal(Method::Put, response).into()),
        }
    }

    fn send_chunks(&self, mut session: Session) -> Result<(), Trouble> {
        let length = self
            .repository
            .options()
            .chunk
            .unwrap_or(CHUNK)
            .max(session.least);
        if length > LONGEST_CHUNK {
            let reason = format!("it wants chunks of {length} bytes");
            return Err(Trouble::Again(
                self.stalled(&session, 0, reason),
                Way::Whole,
            ));
        }
        let mut source = blob::open(self.from, self.blob).map_err(Trouble::Final)?;
        let mut window = Window::default();
        loop {
            window
                .fill(&mut source, length)
                .map_err(|error| Trouble::Final(crate::Error::read("blob", error)))?;
            if window.bytes.is_empty() {
                return self.finish(&session);
            }
            self.send_window(&mut session, &mut window)?;
        }
    }

    /// Sends what is in the window until the registry has all of it.
    fn send_window(&self, session: &mut Session, window: &mut Window) -> Result<(), Trouble> {
        let client = self.repository.authority().client();
        let mut attempt = 1_u32;
        while !window.bytes.is_empty() {
            let sent = self.send_chunk(session, window)?;
            if !sent.has.is_some_and(|has| window.drop_to(has)) {
                let has = sent
                    .has
                    .map_or("nobody knows how many".to_owned(), |has| has.to_string());
                let reason = format!("it says it has {has} bytes ({})", sent.reason);
                let error = self.stalled(session, window.offset, reason);
                return Err(Trouble::Again(error, Way::Whole));
            }
            if window.bytes.is_empty() {
                break;
            }
            // A registry that loses the same bytes twice, and says nothing, loses them for ever.
            match client.schedule().wait(attempt, sent.asked) {
                Some(wait) if !sent.accepted || attempt < 3 => client.pause(wait, &sent.reason)?,
                _ => {
                    let error = self.stalled(session, window.offset, sent.reason);
                    return Err(Trouble::Again(error, Way::Whole));
                }
            }
            attempt = attempt.saturating_add(1);
        }
        Ok(())
    }

    /// Sends what is in the window once.
    fn send_chunk(&self, session: &mut Session, window: &Window) -> Result<Sent, Trouble> {
        let end = window.end();
        let range = format!("{}-{}", window.offset, end.saturating_sub(1));
        let request = Request::new(Method::Patch, session.url.clone())
            .header("content-type", "application/octet-stream")
            .header("content-range", range)
            .body(Body::Bytes(&window.bytes))
            .once();
        let mut asked = None;
        let reason = match self.send(&request) {
            Ok(response) if response.is_success() => {
                session.follow(&response)?;
                // Without a word it has what it was given.
                let has = match response.header("range") {
                    None => Some(end),
                    range => received(range, end),
                };
                return Ok(Sent {
                    has,
                    accepted: true,
                    asked: None,
                    reason: "a part of a chunk is missing".to_owned(),
                });
            }
            Ok(response) if response.status() == 416 || is_transient(response.status()) => {
                let error = self.refusal(Method::Patch, response);
                asked = error.asks_to_wait();
                error.to_string()
            }
            Ok(response) if response.status() == 404 => {
                let error = self.refusal(Method::Patch, response);
                return Err(Trouble::Again(error, Way::Chunks));
            }
            Ok(response) => return Err(self.refusal(Method::Patch, response).into()),
            Err(Error::Http(error)) if error.is_transient() => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        Ok(Sent {
            has: self.ask(session, end)?,
            accepted: false,
            asked,
            reason,
        })
    }

    /// Asks how many bytes the registry has.
    fn ask(&self, session: &mut Session, expected: u64) -> Result<Option<u64>, Trouble> {
        let response = self.send(&Request::new(Method::Get, session.url.clone()))?;
        if !response.is_success() {
            let error = self.refusal(Method::Get, response);
            return Err(Trouble::Again(error, Way::Chunks));
        }
        session.follow(&response)?;
        Ok(received(response.header("range"), expected))
    }

    fn finish(&self, session: &Session) -> Result<(), Trouble> {
        let request = Request::new(Method::Put, session.end(&self.digest.to_string()))
            .header("content-type", "application/octet-stream")
            .once();
        let response = match self.send(&request) {
            Err(Error::Http(error)) if error.is_transient() => {
                return Err(Trouble::Again(error.into(), Way::Chunks));
            }
            response => response?,
        };
        match response.status() {
            201 | 202 | 204 => Ok(self.check_stored(&response)?),
            401 | 403 => Err(self.refusal(Method::Put, response).into()),
            // It took every chunk, and has not got them.
            _ => Err(Trouble::Again(
                self.refusal(Method::Put, response),
                Way::Whole,
            )),
        }
    }

    fn check_stored(&self, response: &Response) -> Result<(), Error> {
        super::repository::check_stored(response, &self.digest)
    }

    fn stalled(&self, session: &Session, offset: u64, reason: String) -> Error {
        Error::Stalled {
            digest: self.digest.to_string(),
            url: session.url.to_string(),
            offset,
            size: self.blob.size(),
            reason,
        }
    }
}

/// What came of a chunk.
struct Sent {
    /// How many bytes the registry has by its own word.
    has: Option<u64>,
    /// Whether it said that all is well.
    accepted: bool,
    /// How long it asks to wait.
    asked: Option<Duration>,
    /// What happened.
    reason: String,
}

/// The part of a blob that the registry may not have yet.
#[derive(Default)]
struct Window {
    /// Where it begins.
    offset: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// Takes further bytes in, up to the length of a chunk. Called once more at the end, it lets a verified
    /// reader pass its judgement.
    fn fill(&mut self, source: &mut impl Read, length: u64) -> std::io::Result<()> {
        let missing = length.saturating_sub(self.length());
        source.take(missing).read_to_end(&mut self.bytes)?;
        Ok(())
    }

    fn length(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }

    fn end(&self) -> u64 {
        self.offset.saturating_add(self.length())
    }

    /// Forgets what is before an offset; false where that lies outside of the window.
    fn drop_to(&mut self, offset: u64) -> bool {
        let count = offset
            .checked_sub(self.offset)
            .and_then(|count| usize::try_from(count).ok());
        match count {
            Some(count) if count <= self.bytes.len() => {
                self.bytes.drain(..count);
                self.offset = offset;
                true
            }
            _ => false,
        }
    }
}
