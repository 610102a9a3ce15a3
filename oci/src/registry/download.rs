//! A blob's bytes, taken up again where a transfer broke.

use std::fmt::Debug;
use std::io::{self, Read};
use std::sync::Arc;

use super::Error;
use super::authority::{Authority, Scope};
use super::refusal::{Asked, refusal};
use crate::http::{self, Client, Method, Request, Response, Url};

/// How far a transfer must get before another break counts as the first one again, in bytes: a
/// server that gives a byte at a time is not waited for.
const PROGRESS: u64 = 256 << 10;

/// Makes the requests of a download.
pub(super) trait Ask: Debug + Send + Sync {
    /// Makes one.
    fn ask(&self, request: &Request<'_>) -> Result<Response, Error>;

    /// Makes an error of an answer that is none of those hoped for.
    fn refusal(&self, response: Response) -> Error;

    /// Returns who waits between them.
    fn client(&self) -> &Client;
}

/// Asks a registry, in the name of the user.
#[derive(Debug)]
pub(super) struct OfRegistry {
    pub(super) authority: Arc<Authority>,
    pub(super) scope: Scope,
}

impl Ask for OfRegistry {
    fn ask(&self, request: &Request<'_>) -> Result<Response, Error> {
        self.authority.send(request, &self.scope)
    }

    fn refusal(&self, response: Response) -> Error {
        self.authority.refusal(Method::Get, response)
    }

    fn client(&self) -> &Client {
        self.authority.client()
    }
}

/// Asks any server, in the name of nobody.
#[derive(Debug)]
struct OfAnybody(Arc<Client>);

impl Ask for OfAnybody {
    fn ask(&self, request: &Request<'_>) -> Result<Response, Error> {
        Ok(self.0.send(request)?)
    }

    fn refusal(&self, response: Response) -> Error {
        let origin = response.url().origin().clone();
        let path = response.url().path().to_owned();
        let asked = Asked {
            host: origin.host(),
            repository: &path,
            known: false,
        };
        refusal(Method::Get, &asked, response)
    }

    fn client(&self) -> &Client {
        &self.0
    }
}

/// Begins to read what an URL leads to, taken up again where the transfer breaks; and its length in
/// bytes, where the server says it.
///
/// What comes is not verified.
///
/// # Errors
/// Why there is nothing.
pub fn open_url(
    client: &Arc<Client>,
    url: &Url,
) -> Result<(Box<dyn Read + Send>, Option<u64>), Error> {
    let mut download = Download::new(
        Box::new(OfAnybody(Arc::clone(client))),
        url.clone(),
        None,
        0,
    );
    let response = download.request()?;
    download.size = response.length();
    download.response = Some(response);
    let size = download.size;
    Ok((Box::new(download), size))
}

/// Reads a blob.
#[derive(Debug)]
pub(super) struct Download {
    ask: Box<dyn Ask>,
    url: Url,
    /// Its length in bytes, where that is known.
    size: Option<u64>,
    /// The bytes that were handed out, the offset it began at included.
    at: u64,
    response: Option<Response>,
    /// Breaks since the last progress, and where that was.
    breaks: u32,
    reached: u64,
}

impl Download {
    fn new(ask: Box<dyn Ask>, url: Url, size: Option<u64>, at: u64) -> Self {
        Self {
            ask,
            url,
            size,
            at,
            response: None,
            breaks: 0,
            reached: at,
        }
    }

    /// Asks for a blob of a known size from an offset on; none where that is not to be had.
    pub(super) fn open(
        ask: Box<dyn Ask>,
        url: Url,
        size: u64,
        offset: u64,
    ) -> Result<Option<Self>, Error> {
        let mut download = Self::new(ask, url, Some(size), offset);
        let response = download.request()?;
        if offset > 0 && response.status() == 200 {
            return Ok(None);
        }
        download.response = Some(response);
        Ok(Some(download))
    }

    /// Asks for what is still missing.
    fn request(&self) -> Result<Response, Error> {
        let mut request = Request::new(Method::Get, self.url.clone());
        if self.at > 0 {
            request = request.header("range", format!("bytes={}-", self.at));
        }
        let response = self.ask.ask(&request)?;
        match response.status() {
            200 => Ok(response),
            206 if starts_at(&response) == Some(self.at) => Ok(response),
            206 => Err(self.protocol(format!(
                "asked for the bytes from {} on, it sends Content-Range {:?}",
                self.at,
                response.header("content-range").unwrap_or_default()
            ))),
            _ => Err(self.ask.refusal(response)),
        }
    }

    /// Asks again after a break; what was had already is passed over where it comes again.
    fn resume(&mut self) -> Result<(), Error> {
        let mut response = self.request()?;
        if response.status() == 200 {
            let mut left = self.at;
            let mut buffer = vec![0; 64 << 10];
            while left > 0 {
                let most = usize::try_from(left)
                    .unwrap_or(usize::MAX)
                    .min(buffer.len());
                let window = buffer.get_mut(..most).unwrap_or_default();
                let count = u64::try_from(response.piece(window)?).unwrap_or(u64::MAX);
                if count == 0 {
                    return Err(self.short().into());
                }
                left = left.saturating_sub(count);
            }
        }
        self.response = Some(response);
        Ok(())
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        if self.response.is_none() {
            self.resume()?;
        }
        let Some(response) = &mut self.response else {
            return Ok(0);
        };
        match response.piece(buffer) {
            Ok(0) if self.size.is_some_and(|size| self.at < size) => Err(self.short().into()),
            // All is there: how the connection ends is of no interest.
            Err(_) if self.size.is_some_and(|size| self.at >= size) => Ok(0),
            result => Ok(result?),
        }
    }

    fn short(&self) -> http::Error {
        http::Error::Body {
            url: self.url.to_string(),
            source: io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "it ends after {} of {} bytes",
                    self.at,
                    self.size.unwrap_or(self.at)
                ),
            ),
        }
    }

    fn protocol(&self, reason: String) -> Error {
        Error::Protocol {
            url: self.url.to_string(),
            reason,
        }
    }

    /// Waits after a break, unless there were too many.
    fn after_break(&mut self, error: Error) -> Result<(), Error> {
        let passing = matches!(&error, Error::Http(error) if error.is_transient());
        self.response = None;
        if self.at.saturating_sub(self.reached) >= PROGRESS {
            self.breaks = 0;
        }
        self.reached = self.at;
        self.breaks = self.breaks.saturating_add(1);
        let client = self.ask.client();
        match client.schedule().wait(self.breaks, None) {
            Some(wait) if passing => {
                let reason = format!("{error}; it goes on at byte {}", self.at);
                Ok(client.pause(wait, &reason)?)
            }
            _ => Err(error),
        }
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.next(buffer) {
                Ok(count) => {
                    let read = u64::try_from(count).unwrap_or(u64::MAX);
                    self.at = self.at.saturating_add(read);
                    return Ok(count);
                }
                Err(error) => self
                    .after_break(error)
                    .map_err(|error| io::Error::from(crate::Error::from(error)))?,
            }
        }
    }
}

/// Reads where a part begins: `bytes 100-199/1000`.
fn starts_at(response: &Response) -> Option<u64> {
    let range = response
        .header("content-range")?
        .trim()
        .strip_prefix("bytes")?;
    range.trim_start().split_once('-')?.0.parse().ok()
}
