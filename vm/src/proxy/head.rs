//! The head of a request or an answer: a line and fields, up to an empty line.

use std::io::{self, BufRead};

/// The longest head in bytes.
const MAX_HEAD: usize = 64 << 10;

/// How much of it is looked at anew each time in bytes.
const PIECE: usize = 4096;

/// The most fields.
const MAX_FIELDS: usize = 128;

/// Fields that are between two ends of one connection and are not passed on.
const HOP: [&str; 8] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "upgrade",
];

/// A request's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestHead {
    pub(super) method: String,
    pub(super) target: String,
    /// Whether it is one of HTTP/1.1, not 1.0.
    pub(super) current: bool,
    pub(super) fields: Fields,
}

/// An answer's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AnswerHead {
    pub(super) status: u16,
    pub(super) reason: String,
    /// As in a request.
    pub(super) current: bool,
    pub(super) fields: Fields,
}

/// The fields of a head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<(String, Vec<u8>)>);

/// How a content ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// After so many bytes.
    Bytes(u64),
    /// By its own chunks.
    Chunked,
    /// With the connection.
    ToEnd,
}

impl Fields {
    fn read(fields: &[httparse::Header<'_>]) -> Self {
        let own = |field: &httparse::Header<'_>| (field.name.to_owned(), field.value.to_vec());
        Self(fields.iter().map(own).collect())
    }

    fn get<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }

    /// Returns how the content ends, if the fields say so.
    ///
    /// # Errors
    /// Fields that contradict each other: two ends could disagree about where the next head begins.
    pub(super) fn length(&self) -> io::Result<Option<Length>> {
        let wrong = || Err(io::Error::other("contradicting lengths"));
        let mut lengths = self.get("content-length");
        let length = lengths.next();
        if lengths.any(|other| Some(other) != length) {
            return wrong();
        }
        let coded = self.get("transfer-encoding").last();
        match (coded, length) {
            (Some(_), Some(_)) => wrong(),
            (Some(coding), None) => match coding.to_ascii_lowercase().ends_with(b"chunked") {
                true => Ok(Some(Length::Chunked)),
                false => Ok(Some(Length::ToEnd)),
            },
            (None, Some(length)) => {
                let digits = length.iter().all(u8::is_ascii_digit);
                let text = std::str::from_utf8(length).ok().filter(|_| digits);
                match text.and_then(|text| text.parse().ok()) {
                    Some(length) => Ok(Some(Length::Bytes(length))),
                    None => wrong(),
                }
            }
            (None, None) => Ok(None),
        }
    }

    /// Tells whether the other end keeps the connection for another exchange.
    fn keep_alive(&self, current: bool) -> bool {
        let has = |word: &[u8]| {
            let mut words = ["connection", "proxy-connection"]
                .into_iter()
                .flat_map(|name| self.get(name))
                .flat_map(|value| value.split(|byte| *byte == b','));
            words.any(|found| found.trim_ascii().eq_ignore_ascii_case(word))
        };
        !has(b"close") && (current || has(b"keep-alive"))
    }

    /// Appends the fields that are passed on, but not those named in `but`.
    fn pass_on(&self, but: &[&str], out: &mut Vec<u8>) {
        // What the connection's own field names stays on that connection, too.
        let named: Vec<Vec<u8>> = self
            .get("connection")
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(|name| name.trim_ascii().to_ascii_lowercase())
            .collect();
        for (key, value) in &self.0 {
            let lower = key.to_ascii_lowercase();
            if HOP.contains(&lower.as_str())
                || but.contains(&lower.as_str())
                || named.iter().any(|name| name == lower.as_bytes())
            {
                continue;
            }
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl RequestHead {
    /// Returns the head for a server, which is asked for a path. Whose it is stands in the target alone, so
    /// that a guest does not reach one host by the name of another.
    pub(super) fn for_server(&self, authority: &str, path: &str) -> Vec<u8> {
        let line = format!("{} {path} HTTP/1.1\r\nHost: {authority}\r\n", self.method);
        let mut out = line.into_bytes();
        self.fields.pass_on(&["host"], &mut out);
        out.extend_from_slice(b"\r\n");
        out
    }

    /// Tells whether the client sends further requests on its connection.
    pub(super) fn keeps_alive(&self) -> bool {
        self.fields.keep_alive(self.current)
    }

    /// Tells whether the client waits for leave before it sends its content.
    pub(super) fn waits(&self) -> bool {
        let mut expected = self.fields.get("expect");
        self.current && expected.any(|value| value.eq_ignore_ascii_case(b"100-continue"))
    }

    /// Tells whether the same may be asked twice, and has no content.
    pub(super) fn is_repeatable(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD")
            && matches!(self.fields.length(), Ok(None | Some(Length::Bytes(0))))
    }
}

impl AnswerHead {
    /// Returns the head for the client, whose connection stays or does not; `framed` says whether a content
    /// in chunks stays in chunks.
    pub(super) fn for_client(&self, stays: bool, framed: bool) -> Vec<u8> {
        let mut out = format!("HTTP/1.1 {} {}\r\n", self.status, self.reason).into_bytes();
        let but: &[&str] = if framed { &[] } else { &["transfer-encoding"] };
        self.fields.pass_on(but, &mut out);
        let connection = if stays { "keep-alive" } else { "close" };
        out.extend_from_slice(format!("Connection: {connection}\r\n\r\n").as_bytes());
        out
    }

    /// Tells whether the server takes further requests on its connection.
    pub(super) fn keeps_alive(&self) -> bool {
        self.fields.keep_alive(self.current)
    }

    /// Tells whether no content follows, whatever the fields say.
    pub(super) fn is_empty(&self, method: &str) -> bool {
        method == "HEAD" || matches!(self.status, 100..=199 | 204 | 304)
    }

    /// Tells whether the content has an end of its own, before the connection's.
    pub(super) fn has_end(&self, method: &str) -> bool {
        let length = self.fields.length();
        self.is_empty(method) || matches!(length, Ok(Some(Length::Bytes(_) | Length::Chunked)))
    }
}

/// Reads a request's head and nothing behind it; `None` where nothing came, also after some time.
///
/// # Errors
/// A head that is none or too long; an input that ends within it.
pub(super) fn request(input: &mut impl BufRead) -> io::Result<Option<RequestHead>> {
    use io::ErrorKind::{ConnectionReset, TimedOut};
    match input.fill_buf() {
        Err(error) if matches!(error.kind(), ConnectionReset | TimedOut) => return Ok(None),
        _ => {}
    }
    read(input, |bytes| {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let status = request.parse(bytes).map_err(io::Error::other)?;
        let httparse::Status::Complete(len) = status else {
            return Ok(None);
        };
        let head = RequestHead {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            current: request.version == Some(1),
            fields: Fields::read(request.headers),
        };
        Ok(Some((head, len)))
    })
}

/// Reads an answer's head, as [`request`].
pub(super) fn answer(input: &mut impl BufRead) -> io::Result<Option<AnswerHead>> {
    read(input, |bytes| {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut answer = httparse::Response::new(&mut fields);
        let status = answer.parse(bytes).map_err(io::Error::other)?;
        let httparse::Status::Complete(len) = status else {
            return Ok(None);
        };
        let head = AnswerHead {
            status: answer.code.unwrap_or_default(),
            reason: answer.reason.unwrap_or_default().to_owned(),
            current: answer.version == Some(1),
            fields: Fields::read(answer.headers),
        };
        Ok(Some((head, len)))
    })
}

fn read<T>(
    input: &mut impl BufRead,
    parse: impl Fn(&[u8]) -> io::Result<Option<(T, usize)>>,
) -> io::Result<Option<T>> {
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        let piece = input.fill_buf()?;
        match piece.len() {
            0 if before == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => bytes.extend_from_slice(&piece[..len.min(PIECE)]),
        }
        if let Some((head, len)) = parse(&bytes)? {
            input.consume(len.saturating_sub(before));
            return Ok(Some(head));
        }
        input.consume(bytes.len() - before);
        if bytes.len() > MAX_HEAD {
            return Err(io::Error::other("the head is too long"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn fields(text: &str) -> Fields {
        let text = format!("GET / HTTP/1.1\r\n{text}\r\n");
        request(&mut text.as_bytes()).unwrap().unwrap().fields
    }

    #[test]
    fn a_request_goes_on_without_what_was_for_the_proxy() {
        let mut input = &b"GET http://a/b?c HTTP/1.1\r\nHost: a\r\nProxy-Authorization: x\r\n\
                           Connection: keep-alive, X-Own\r\nX-Own: 1\r\nAccept: */*\r\n\r\nrest"[..];
        let head = request(&mut input).unwrap().unwrap();
        assert_eq!(
            (head.target.as_str(), input),
            ("http://a/b?c", &b"rest"[..])
        );
        assert_eq!(
            head.for_server("a:80", "/b?c"),
            b"GET /b?c HTTP/1.1\r\nHost: a:80\r\nAccept: */*\r\n\r\n"
        );
    }

    #[test]
    fn connections_stay_where_both_versions_and_fields_say_so() {
        let stays = |version: &str, text: &str| {
            let text = format!("GET / HTTP/{version}\r\n{text}\r\n");
            request(&mut text.as_bytes())
                .unwrap()
                .unwrap()
                .keeps_alive()
        };
        assert!(stays("1.1", "") && stays("1.0", "Proxy-Connection: Keep-Alive\r\n"));
        assert!(!stays("1.0", "") && !stays("1.1", "Connection: x, close\r\n"));
    }

    #[test]
    fn lengths_that_contradict_each_other_are_refused() {
        let length = |text: &str| fields(text).length();
        assert_eq!(
            length("Content-Length: 5\r\n").unwrap(),
            Some(Length::Bytes(5))
        );
        assert_eq!(
            length("Transfer-Encoding: chunked\r\n").unwrap(),
            Some(Length::Chunked)
        );
        assert_eq!(length("").unwrap(), None);
        for text in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 99999999999999999999999\r\n",
        ] {
            assert!(length(text).is_err(), "{text}");
        }
    }

    #[test]
    fn endless_heads_are_refused() {
        let endless = b"GET / HTTP/1.1\r\nX: ".chain(io::repeat(b'x'));
        let mut endless = io::BufReader::new(endless);
        assert!(request(&mut endless).is_err());
    }
}
