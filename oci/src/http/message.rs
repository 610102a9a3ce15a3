//! What is asked and what is answered.

use std::io::{self, Read};

use ureq::http::HeaderMap;

use super::{Error, Secret, Url};

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Asks for headers and body.
    Get,
    /// Asks for headers.
    Head,
    /// Begins something.
    Post,
    /// Stores.
    Put,
    /// Adds.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// Returns the method's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Tells whether doing it twice is doing it once.
    pub(super) fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }
}

/// Opens a body that is sent, from its start.
pub type Opener<'a> = dyn Fn() -> io::Result<Box<dyn Read + 'a>> + 'a;

/// What is sent with a request; it can be sent again.
#[derive(Clone, Copy)]
pub enum Body<'a> {
    /// Nothing.
    Empty,
    /// Bytes in memory.
    Bytes(&'a [u8]),
    /// So many bytes from elsewhere.
    Stream {
        /// The length in bytes; the reader must give exactly as many.
        length: u64,
        /// Opens them.
        open: &'a Opener<'a>,
    },
}

impl Body<'_> {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Stream { length, .. } => *length,
        }
    }
}

impl std::fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body({} bytes)", self.length())
    }
}

/// A request that is not yet made.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) authorization: Option<Secret>,
    pub(super) body: Body<'a>,
    pub(super) once: bool,
}

impl<'a> Request<'a> {
    /// Prepares a request without body.
    #[must_use]
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            authorization: None,
            body: Body::Empty,
            once: false,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sets the `Authorization` for the origin of the URL, and for no other.
    #[must_use]
    pub fn authorization(mut self, value: Option<Secret>) -> Self {
        self.authorization = value;
        self
    }

    /// Sets what is sent.
    #[must_use]
    pub fn body(mut self, body: Body<'a>) -> Self {
        self.body = body;
        self
    }

    /// Makes the request once: whoever asks finds out what came of it before asking again.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Returns what is asked.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns what is done.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }
}

/// An answer whose body is still to be read.
pub struct Response {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) url: Url,
    pub(super) body: Box<dyn Read + Send>,
}

impl Response {
    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Tells whether the request was granted.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the URL that answered, behind all redirects.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the first header of a name, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns every header of a name that is text.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.headers.get_all(name).into_iter();
        values.filter_map(|value| value.to_str().ok())
    }

    /// Returns how long the body says it is, in bytes.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    /// Returns the whole body, if it is no longer than `limit` bytes.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Body`].
    pub fn bytes(&mut self, limit: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let read = self
            .body
            .by_ref()
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes);
        let length = read.map_err(|source| self.broken(source))?;
        match u64::try_from(length) {
            Ok(length) if length <= limit => Ok(bytes),
            _ => Err(Error::TooLong {
                url: self.url.to_string(),
                limit,
            }),
        }
    }

    /// Reads a piece of the body; 0 is its end.
    ///
    /// # Errors
    /// [`Error::Body`], also where the connection ends before the length that was announced.
    pub fn piece(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.body.read(buffer).map_err(|source| self.broken(source))
    }

    fn broken(&self, source: io::Error) -> Error {
        Error::Body {
            url: self.url.to_string(),
            source,
        }
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Response({} from {})", self.status, self.url)
    }
}
