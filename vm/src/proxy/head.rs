//! The head of a request or an answer: a line and fields, up to an empty line.

use std::io::{self, Read};

/// The longest head in bytes.
const MAX_HEAD: usize = 64 << 10;

/// The most fields.
const MAX_FIELDS: usize = 128;

/// Fields that are between two ends of one connection and are not passed on.
const HOP: [&str; 7] = [
    "connection",
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
    pub(super) fields: Fields,
}

/// An answer's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AnswerHead {
    pub(super) status: u16,
    pub(super) reason: String,
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

    /// Appends the fields that are passed on, and the end of the head.
    fn pass_on(&self, out: &mut Vec<u8>) {
        // What the connection's own field names stays on that connection, too.
        let named: Vec<Vec<u8>> = self
            .get("connection")
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(|name| name.trim_ascii().to_ascii_lowercase())
            .collect();
        for (key, value) in &self.0 {
            let lower = key.to_ascii_lowercase();
            if HOP.contains(&lower.as_str()) || named.iter().any(|name| name == lower.as_bytes()) {
                continue;
            }
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"Connection: close\r\n\r\n");
    }
}

impl RequestHead {
    /// Returns the head for the server, which is asked for a path.
    pub(super) fn for_server(&self, path: &str) -> Vec<u8> {
        let mut out = format!("{} {path} HTTP/1.1\r\n", self.method).into_bytes();
        self.fields.pass_on(&mut out);
        out
    }
}

impl AnswerHead {
    /// Returns the head for the client.
    pub(super) fn for_client(&self) -> Vec<u8> {
        let mut out = format!("HTTP/1.1 {} {}\r\n", self.status, self.reason).into_bytes();
        self.fields.pass_on(&mut out);
        out
    }

    /// Tells whether no content follows, whatever the fields say.
    pub(super) fn is_empty(&self, method: &str) -> bool {
        method == "HEAD" || matches!(self.status, 100..=199 | 204 | 304)
    }
}

/// Reads a request's head; returns it and what was read behind it, or `None` where nothing came.
///
/// # Errors
/// A head that is none or too long; an input that ends within it.
pub(super) fn request(input: &mut impl Read) -> io::Result<Option<(RequestHead, Vec<u8>)>> {
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
            fields: Fields::read(request.headers),
        };
        Ok(Some((head, len)))
    })
}

/// Reads an answer's head, as [`request`].
pub(super) fn answer(input: &mut impl Read) -> io::Result<Option<(AnswerHead, Vec<u8>)>> {
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
            fields: Fields::read(answer.headers),
        };
        Ok(Some((head, len)))
    })
}

fn read<T>(
    input: &mut impl Read,
    parse: impl Fn(&[u8]) -> io::Result<Option<(T, usize)>>,
) -> io::Result<Option<(T, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match input.read(&mut piece)? {
            0 if bytes.is_empty() => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => bytes.extend_from_slice(&piece[..len]),
        }
        if let Some((head, len)) = parse(&bytes)? {
            let rest = bytes.split_off(len);
            return Ok(Some((head, rest)));
        }
        if bytes.len() > MAX_HEAD {
            return Err(io::Error::other("the head is too long"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        let text = format!("GET / HTTP/1.1\r\n{text}\r\n");
        request(&mut text.as_bytes()).unwrap().unwrap().0.fields
    }

    #[test]
    fn a_request_goes_on_without_what_was_for_the_proxy() {
        let mut input = &b"GET http://a/b?c HTTP/1.1\r\nHost: a\r\nProxy-Authorization: x\r\n\
                           Connection: keep-alive, X-Own\r\nX-Own: 1\r\nAccept: */*\r\n\r\nrest"[..];
        let (head, rest) = request(&mut input).unwrap().unwrap();
        assert_eq!(
            (head.target.as_str(), rest.as_slice()),
            ("http://a/b?c", &b"rest"[..])
        );
        assert_eq!(
            head.for_server("/b?c"),
            b"GET /b?c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
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
        let mut endless = b"GET / HTTP/1.1\r\nX: ".chain(io::repeat(b'x'));
        assert!(request(&mut endless).is_err());
    }
}
