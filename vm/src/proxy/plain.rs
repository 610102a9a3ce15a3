//! Plain HTTP: each request's content counted and hashed.
//!
//! A client's connection carries one request after another, and so does the one to its server, as long as
//! both go to the same one and nothing on the way says otherwise.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use ring::digest::{Context, SHA256};

use super::Options;
use super::allow::split;
use super::connection::{After, Refusal, connect};
use super::head::{self, AnswerHead, Length, RequestHead};
use super::record::Request;
use super::relay::{self, FromGuest};
use crate::channel::Inbox;

/// A connection to a server that may take another request.
#[derive(Debug)]
pub(super) struct Server {
    host: String,
    port: u16,
    stream: BufReader<TcpStream>,
}

impl Server {
    fn connect(host: &str, port: u16, options: &Options) -> Result<Self, Refusal> {
        Ok(Self {
            host: host.to_owned(),
            port,
            stream: BufReader::with_capacity(relay::PIECE, connect(host, port, options)?),
        })
    }

    fn is(&self, host: &str, port: u16) -> bool {
        self.host == host && self.port == port
    }

    /// Reads the answer's head; the announcements before it are nobody's here.
    fn answer(&mut self) -> io::Result<AnswerHead> {
        loop {
            let head = head::answer(&mut self.stream)?;
            let head = head.ok_or_else(|| io::Error::other("it said nothing"))?;
            if !matches!(head.status, 100..=199) {
                return Ok(head);
            }
        }
    }
}

/// A request and its answer.
pub(super) struct Exchange<'a, 'b> {
    pub(super) inbox: &'a Inbox,
    pub(super) client: &'a mut FromGuest<'b>,
    pub(super) kept: &'a mut Option<Server>,
    pub(super) options: &'a Options,
}

impl Exchange<'_, '_> {
    pub(super) fn serve(
        mut self,
        head: &RequestHead,
        request: &mut Request,
    ) -> Result<After, Refusal> {
        let target = Target::read(&head.target)?;
        let (host, port) = (target.host, target.port);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                Refusal::new(504, format!("{host}:{port} did not answer in time"))
            }
            _ => Refusal::new(502, format!("{host}:{port}: {error}")),
        };
        let kept = self.kept.take();
        let kept = kept.filter(|server| server.is(host, port) && head.is_repeatable());
        let again = kept.is_some();
        let mut server = match kept {
            Some(server) => server,
            None => Server::connect(host, port, self.options)?,
        };
        let mut answered = self.ask(&mut server, head, &target, request);
        if again && answered.is_err() {
            // It may have closed a connection that was kept at this very moment.
            server = Server::connect(host, port, self.options)?;
            answered = self.ask(&mut server, head, &target, request);
        }
        let answer = answered.map_err(failed)?;
        request.status = Some(answer.status);
        let passed = pass(self.inbox, &mut server.stream, &answer, head, request);
        // Otherwise the connection is reset, so that the client does not take a part for the whole.
        let after = passed.unwrap_or_else(|error| {
            request.problem = Some(error.to_string());
            After::Nothing
        });
        let ends = answer.has_end(&head.method);
        if after == After::Another
            && ends
            && answer.keeps_alive()
            && server.stream.buffer().is_empty()
        {
            *self.kept = Some(server);
        }
        Ok(after)
    }

    /// Sends the request and its content to the server; returns the head of the answer.
    fn ask(
        &mut self,
        server: &mut Server,
        head: &RequestHead,
        target: &Target<'_>,
        request: &mut Request,
    ) -> io::Result<AnswerHead> {
        let length = head.fields.length()?;
        let to = server.stream.get_mut();
        to.write_all(&head.for_server(target.authority, &target.path))?;
        if length.is_some() && head.waits() {
            let mut guest = self.inbox.outlet();
            guest.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        request.sent = match length {
            Some(Length::Bytes(len)) => {
                let sent = io::copy(&mut self.client.by_ref().take(len), to)?;
                match sent == len {
                    true => sent,
                    false => return Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
            Some(Length::Chunked) => chunks(self.client, to, true, |_| {})?,
            Some(Length::ToEnd) => {
                return Err(io::Error::other("the request's content has no end"));
            }
            None => 0,
        };
        server.answer()
    }
}

/// The longest line of a chunk's size or of a trailing field.
const MAX_LINE: usize = 4096;

/// Carries a content in chunks up to the last one, as it is or (without `framed`) without their sizes;
/// returns the content's length.
fn chunks(
    content: &mut impl BufRead,
    to: &mut impl Write,
    framed: bool,
    mut see: impl FnMut(&[u8]),
) -> io::Result<u64> {
    let frame = |to: &mut dyn Write, line: &[u8]| match framed {
        true => to.write_all(line),
        false => Ok(()),
    };
    let mut total = 0_u64;
    loop {
        let size_line = line(content)?;
        let digits = size_line.split(|byte| b";\r \t".contains(byte)).next();
        let size = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .ok_or_else(|| io::Error::other("a chunk without a size"))?;
        frame(to, &size_line)?;
        if size == 0 {
            break;
        }
        if relay::to_guest(content.by_ref(), to, Some(size), &mut see)? != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = line(content)?;
        if end != b"\r\n" && end != b"\n" {
            return Err(io::Error::other("a chunk longer than its size"));
        }
        frame(to, &end)?;
        total = total.saturating_add(size);
    }
    loop {
        let trailer = line(content)?;
        frame(to, &trailer)?;
        if trailer == b"\r\n" || trailer == b"\n" {
            return Ok(total);
        }
    }
}

/// Reads a line with its end.
fn line(content: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let most = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
    content.by_ref().take(most).read_until(b'\n', &mut line)?;
    match line.ends_with(b"\n") {
        true => Ok(line),
        false if line.len() < MAX_LINE => Err(io::ErrorKind::UnexpectedEof.into()),
        false => Err(io::Error::other("a line of a chunk is too long")),
    }
}

/// Passes the answer on, and says what follows on the guest's connection.
fn pass(
    inbox: &Inbox,
    server: &mut BufReader<TcpStream>,
    answer: &AnswerHead,
    head: &RequestHead,
    request: &mut Request,
) -> io::Result<After> {
    let mut guest = inbox.outlet();
    let length = answer.fields.length()?;
    // A client of HTTP/1.0 knows no chunks: what it gets ends with its connection.
    let framed = head.current || length != Some(Length::Chunked);
    let stays = head.keeps_alive() && framed && answer.has_end(&head.method);
    let after = if stays { After::Another } else { After::Close };
    guest.write_all(&answer.for_client(stays, framed))?;
    if answer.is_empty(&head.method) {
        return Ok(after);
    }
    let mut hash = Context::new(&SHA256);
    let see = |bytes: &[u8]| hash.update(bytes);
    request.received = match length {
        Some(Length::Chunked) => chunks(server, &mut guest, framed, see)?,
        Some(Length::Bytes(len)) => {
            let received = relay::to_guest(server, &mut guest, Some(len), see)?;
            if received < len {
                return Err(io::Error::other(format!(
                    "cut short after {received} bytes"
                )));
            }
            received
        }
        Some(Length::ToEnd) | None => relay::to_guest(server, &mut guest, None, see)?,
    };
    request.sha256 = hash.finish().as_ref().try_into().ok();
    Ok(after)
}

/// Whom a request is for.
#[derive(Debug, PartialEq, Eq)]
struct Target<'a> {
    /// Host and port as they were written.
    authority: &'a str,
    host: &'a str,
    port: u16,
    /// What the server is asked for.
    path: String,
}

impl<'a> Target<'a> {
    fn read(url: &'a str) -> Result<Self, Refusal> {
        let wrong = || Refusal::new(400, "a proxy is asked for a whole http:// URL");
        let scheme = url
            .get(..7)
            .filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
        let rest = scheme.and_then(|_| url.get(7..)).ok_or_else(wrong)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // Names and passwords in a URL are for nobody here.
        let authority = authority.rsplit('@').next().unwrap_or(authority);
        let (host, port) = split(authority).ok_or_else(wrong)?;
        if host.is_empty() {
            return Err(wrong());
        }
        let path = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("/{path}"),
        };
        Ok(Self {
            authority,
            host,
            port: port.unwrap_or(80),
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_taken_apart() {
        let found = |url| {
            let target = Target::read(url).map_err(|refusal| refusal.status)?;
            Ok((target.host, target.port, target.path))
        };
        let path = |text: &str| text.to_owned();
        assert_eq!(found("http://a/b?c"), Ok(("a", 80, path("/b?c"))));
        assert_eq!(found("HTTP://u:p@a:8080"), Ok(("a", 8080, path("/"))));
        assert_eq!(found("http://[::1]:81?x"), Ok(("::1", 81, path("/?x"))));
        let target = Target::read("http://u:p@a:8080/").unwrap();
        assert_eq!(target.authority, "a:8080");
        for url in [
            "/b",
            "https://a/",
            "http://",
            "http://:80/",
            "http://a:x/",
            "ü",
        ] {
            assert_eq!(found(url), Err(400), "{url}");
        }
    }

    #[test]
    fn chunks_are_carried_to_their_end_and_not_beyond() {
        let carried = |text: &str, framed| {
            let (mut input, mut out, mut seen) = (text.as_bytes(), Vec::new(), Vec::new());
            let len = chunks(&mut input, &mut out, framed, |bytes| {
                seen.extend_from_slice(bytes);
            })?;
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            Ok::<_, io::Error>((len, text(&out), text(&seen), text(input)))
        };
        let whole = "3\r\nabc\r\n1;x\r\nd\r\n0\r\nTrailer: x\r\n\r\n";
        let (len, out, seen, rest) = carried(&format!("{whole}GET"), true).unwrap();
        assert_eq!((len, out.as_str()), (4, whole));
        assert_eq!((seen.as_str(), rest.as_str()), ("abcd", "GET"));
        assert_eq!(carried(whole, false).unwrap().1, "abcd");
        for wrong in [
            "x\r\n",
            "-1\r\n",
            "5\r\nabc",
            "fffffffffffffffff\r\n",
            "1\r\nab\r\n",
        ] {
            assert!(carried(wrong, true).is_err(), "{wrong}");
        }
    }
}
