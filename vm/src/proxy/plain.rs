//! Plain HTTP: one request a connection, its content counted and hashed.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use ring::digest::{Context, SHA256};

use super::Options;
use super::allow::split;
use super::connection::{Refusal, connect};
use super::head::{self, Length, RequestHead};
use super::record::Request;
use super::relay::{self, FromGuest};
use crate::channel::Inbox;

pub(super) fn serve(
    inbox: &Inbox,
    mut input: FromGuest<'_>,
    head: &RequestHead,
    rest: Vec<u8>,
    options: &Options,
    request: &mut Request,
) -> Result<(), Refusal> {
    let (host, port, path) = target(&head.target)?;
    let length = head.fields.length();
    let length = length.map_err(|error| Refusal::new(400, error.to_string()))?;
    let mut server = connect(host, port, options)?;
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Refusal::new(504, format!("{host}:{port} did not answer in time"))
        }
        _ => Refusal::new(502, format!("{host}:{port}: {error}")),
    };
    let asked = ask(&mut server, &mut input, head, &path, &rest, length);
    request.sent = asked.map_err(failed)?;
    loop {
        let answered = head::answer(&mut server).map_err(failed)?;
        let (answer, rest) =
            answered.ok_or_else(|| Refusal::new(502, format!("{host}:{port} said nothing")))?;
        if answer.status == 100 && rest.is_empty() {
            continue;
        }
        request.status = Some(answer.status);
        pass(inbox, server, &answer, rest, &head.method, request);
        return Ok(());
    }
}

/// Sends the request and its content to the server; returns the content's length.
fn ask(
    server: &mut TcpStream,
    input: &mut FromGuest<'_>,
    head: &RequestHead,
    path: &str,
    rest: &[u8],
    length: Option<Length>,
) -> io::Result<u64> {
    server.write_all(&head.for_server(path))?;
    let mut content = rest.chain(input);
    match length {
        Some(Length::Bytes(len)) => {
            let sent = io::copy(&mut content.take(len), server)?;
            match sent == len {
                true => Ok(sent),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Some(Length::Chunked) => chunks(&mut content, server),
        Some(Length::ToEnd) => Err(io::Error::other("the request's content has no end")),
        None => Ok(0),
    }
}

/// The longest line of a chunk's size or of a trailing field.
const MAX_LINE: usize = 4096;

/// Carries chunks as they are, up to the last one; returns the content's length.
fn chunks(content: &mut impl Read, server: &mut impl Write) -> io::Result<u64> {
    let mut total = 0_u64;
    loop {
        let line = line(content)?;
        let digits = line.split(|byte| b";\r \t".contains(byte)).next();
        let size = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .ok_or_else(|| io::Error::other("a chunk without a size"))?;
        server.write_all(&line)?;
        if size == 0 {
            break;
        }
        // The chunk and the end of its line.
        let len = size.saturating_add(2);
        if io::copy(&mut content.by_ref().take(len), server)? != len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        total = total.saturating_add(size);
    }
    loop {
        let line = line(content)?;
        server.write_all(&line)?;
        if line == b"\r\n" || line == b"\n" {
            return Ok(total);
        }
    }
}

/// Reads a line with its end.
fn line(content: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    while line.len() < MAX_LINE {
        let mut byte = [0];
        content.read_exact(&mut byte)?;
        line.extend(byte);
        if byte == *b"\n" {
            return Ok(line);
        }
    }
    Err(io::Error::other("a line of a chunk is too long"))
}

/// Passes the answer on.
fn pass(
    inbox: &Inbox,
    server: TcpStream,
    answer: &head::AnswerHead,
    rest: Vec<u8>,
    method: &str,
    request: &mut Request,
) {
    let mut guest = inbox.outlet();
    let carried = (|| {
        guest.write_all(&answer.for_client())?;
        if answer.is_empty(method) {
            return Ok((0, None));
        }
        // The server was asked to close, so that what has no length ends all the same.
        let limit = match answer.fields.length()? {
            Some(Length::Bytes(len)) => Some(len),
            _ => None,
        };
        let mut hash = Context::new(&SHA256);
        let content = io::Cursor::new(rest).chain(server);
        let received = relay::to_guest(content, &mut guest, limit, |bytes| hash.update(bytes))?;
        match limit.is_none_or(|limit| limit == received) {
            true => Ok((received, Some(hash.finish()))),
            false => Err(io::Error::other(format!(
                "cut short after {received} bytes"
            ))),
        }
    })();
    match carried {
        Ok((received, digest)) => {
            request.received = received;
            request.sha256 = digest.and_then(|digest| digest.as_ref().try_into().ok());
            relay::close(inbox);
        }
        // The connection is reset, so that the client does not take a part for the whole.
        Err(error) => request.problem = Some(error.to_string()),
    }
}

/// Takes a target apart: host, port, and what the server is asked for.
fn target(url: &str) -> Result<(&str, u16, String), Refusal> {
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
    Ok((host, port.unwrap_or(80), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_taken_apart() {
        let found = |url| target(url).map_err(|refusal| refusal.status);
        let path = |text: &str| text.to_owned();
        assert_eq!(found("http://a/b?c"), Ok(("a", 80, path("/b?c"))));
        assert_eq!(found("HTTP://u:p@a:8080"), Ok(("a", 8080, path("/"))));
        assert_eq!(found("http://[::1]:81?x"), Ok(("::1", 81, path("/?x"))));
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
        let mut input = &b"3\r\nabc\r\n0\r\n\r\nGET"[..];
        let mut out = Vec::new();
        assert_eq!(chunks(&mut input, &mut out).unwrap(), 3);
        assert_eq!(
            (out.as_slice(), input),
            (&b"3\r\nabc\r\n0\r\n\r\n"[..], &b"GET"[..])
        );
        for wrong in ["x\r\n", "-1\r\n", "5\r\nabc", "fffffffffffffffff\r\n"] {
            assert!(
                chunks(&mut wrong.as_bytes(), &mut Vec::new()).is_err(),
                "{wrong}"
            );
        }
    }
}
