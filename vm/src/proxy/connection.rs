//! One connection of a guest's program.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Instant;

use super::allow::{allows, is_local, names, split};
use super::head::{self, RequestHead};
use super::record::Request;
use super::relay::{self, FromGuest};
use super::{Options, plain, tunnel};
use crate::channel::Inbox;

/// What a guest is refused with.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) reason: String,
}

impl Refusal {
    pub(super) fn new(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
        }
    }
}

/// Serves a connection to its end, one request after another, each of which goes to `note` as it ends.
pub(super) fn serve(inbox: &Inbox, options: &Options, note: impl Fn(Request)) {
    let mut client = FromGuest::new(inbox, options.idle_limit);
    let mut kept = None;
    loop {
        let head = match head::request(&mut client) {
            Ok(None) => return relay::close(inbox),
            Ok(Some(head)) => head,
            Err(error) => {
                let problem = format!("no request of HTTP: {error}");
                answer(inbox, &Refusal::new(400, problem.as_str()));
                return note(Request::refused("", "", &problem));
            }
        };
        let mut request = Request::new(&head.method, &head.target);
        let served = match head.method.as_str() {
            "CONNECT" => tunnel::serve(inbox, &mut client, &head, options, &mut request)
                .map(|()| After::Nothing),
            _ => plain::Exchange {
                inbox,
                client: &mut client,
                kept: &mut kept,
                options,
            }
            .serve(&head, &mut request),
        };
        if let Err(refusal) = &served {
            answer(inbox, refusal);
            request.status = request.status.or(Some(refusal.status));
            request.failed(&refusal.reason);
        }
        note(request);
        match served {
            Ok(After::Another) => {}
            Ok(After::Close) => return relay::close(inbox),
            // What was not answered is not to be taken for the whole.
            Ok(After::Nothing) | Err(_) => return,
        }
    }
}

/// What follows a request on a guest's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Perhaps another one.
    Another,
    /// Its end.
    Close,
    /// Nothing: it has ended, or is reset.
    Nothing,
}

/// Tells the guest's program that it does not get what it asked for, and that no more follows.
fn answer(inbox: &Inbox, refusal: &Refusal) {
    tell(inbox, refusal);
    relay::close(inbox);
}

/// Tells the guest's program that it does not get what it asked for.
pub(super) fn tell(inbox: &Inbox, refusal: &Refusal) {
    let name = match refusal.status {
        400 => "Bad Request",
        403 => "Forbidden",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Bad Gateway",
    };
    let (status, body) = (refusal.status, format!("forger: {}\n", refusal.reason));
    let len = body.len();
    let text = format!(
        "HTTP/1.1 {status} {name}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {len}\r\nConnection: close\r\n\r\n{body}"
    );
    // The guest may be gone, or may have had an answer already.
    let _ = inbox.outlet().write_all(text.as_bytes());
}

/// Returns host and port of a tunnel's target.
pub(super) fn authority(head: &RequestHead) -> Result<(&str, u16), Refusal> {
    match split(&head.target) {
        Some((host, Some(port))) if !host.is_empty() => Ok((host, port)),
        _ => Err(Refusal::new(400, "CONNECT takes HOST:PORT")),
    }
}

/// Connects to a host that the guest may reach.
pub(super) fn connect(host: &str, port: u16, options: &Options) -> Result<TcpStream, Refusal> {
    if !allows(&options.allow, host, port) {
        return Err(Refusal::new(
            403,
            format!("{host}:{port} is not allowed: --allow-host names what is"),
        ));
    }
    let addresses = resolve(host, port)
        .map_err(|error| Refusal::new(502, format!("cannot find {host}: {error}")))?;
    let named = names(&options.allow, host, port);
    let mut problem = Refusal::new(502, format!("{host} has no address"));
    let deadline = Instant::now() + options.connect_limit;
    for address in addresses {
        if is_local(address.ip()) && !named {
            problem = Refusal::new(
                403,
                format!("{host} is on the host itself: --allow-host {host}:{port} would allow it"),
            );
            continue;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Refusal::new(
                504,
                format!("{host}:{port} did not answer in time"),
            ));
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(server) => {
                return match relay::limit(&server, options.idle_limit) {
                    Ok(()) => Ok(server),
                    Err(error) => Err(Refusal::new(502, error.to_string())),
                };
            }
            Err(error) => {
                problem = Refusal::new(502, format!("cannot connect to {host}:{port}: {error}"));
            }
        }
    }
    Err(problem)
}

/// Finds a host's addresses, by the host's own resolver.
fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}
