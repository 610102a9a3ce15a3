//! Guests that flood the proxy.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use forger_wire::{Decoder, Message, Side};

use super::{MAX_RECORDS, Options, Request, Served, serve};
use crate::channel::Channel;
use crate::console::Console;

/// A guest whose connections this serves.
struct Flood {
    guest: UnixStream,
    served: Served,
    _channel: Channel,
}

impl Flood {
    fn begin(options: Options) -> Self {
        let (host, guest) = UnixStream::pair().unwrap();
        guest
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let (channel, arrivals) = Channel::open(host, None, Console::default()).unwrap();
        let served = serve(arrivals.connections, Some(options)).unwrap().unwrap();
        Self {
            guest,
            served,
            _channel: channel,
        }
    }

    fn say(&mut self, stream: u32, message: &Message<'_>) {
        let mut frame = Vec::new();
        message.encode(stream, &mut frame);
        self.guest.write_all(&frame).unwrap();
    }

    fn ask(&mut self, stream: u32, text: &str) {
        let bytes = text.as_bytes();
        self.say(stream, &Message::Connect);
        let side = Side::Stdout;
        self.say(stream, &Message::Data { side, bytes });
    }

    /// Reads until so many connections were reset.
    fn resets(&mut self, count: usize) {
        let (mut decoder, mut piece) = (Decoder::new(), [0; 4096]);
        let mut seen = 0;
        while seen < count {
            let len = self.guest.read(&mut piece).unwrap();
            decoder.push(&piece[..len]);
            while let Some(frame) = decoder.next_frame().unwrap() {
                seen += usize::from(frame.message().unwrap() == Message::Reset);
            }
        }
    }
}

#[test]
fn connections_beyond_the_limit_are_refused_and_said_and_others_go_on() {
    let server = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let host = format!("localhost:{}", server.local_addr().unwrap().port());
    let mut flood = Flood::begin(Options {
        allow: vec![host.parse().unwrap()],
        max_connections: 3,
        ..Options::default()
    });
    for number in 0..50 {
        flood.ask(number * 2 + 1, &format!("CONNECT {host} HTTP/1.1\r\n\r\n"));
    }
    flood.resets(47);
    let refused = flood.served.requests();
    assert_eq!(refused.len(), 47);
    let too_many = |request: &Request| {
        let problem = request.problem.as_deref().unwrap_or_default();
        problem.contains("too many connections")
    };
    assert!(refused.iter().all(too_many));
    // The first ones are served all the same.
    let (mut first, _) = server.accept().unwrap();
    first.write_all(b"hello").unwrap();
    let (mut decoder, mut piece, mut got) = (Decoder::new(), [0; 4096], Vec::new());
    while !got.ends_with(b"hello") {
        let len = flood.guest.read(&mut piece).unwrap();
        decoder.push(&piece[..len]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            if let Message::Data { bytes, .. } = frame.message().unwrap() {
                got.extend_from_slice(bytes);
            }
        }
    }
}

#[test]
fn what_is_written_down_is_bounded_in_length_and_number() {
    let mut flood = Flood::begin(Options::default());
    let long = "x".repeat(60_000);
    flood.ask(
        1,
        &format!("GET http://169.254.169.254/{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
    );
    flood.ask(3, &format!("CONNECT {long} HTTP/1.1\r\n\r\n"));
    let start = Instant::now();
    while flood.served.requests().len() < 2 && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let requests = flood.served.requests();
    assert_eq!(requests.len(), 2);
    assert!(
        requests.iter().all(|request| request.size() < 10_000),
        "{requests:?}"
    );
    let size = requests[0].size();
    for _ in 0..=MAX_RECORDS / size {
        flood.served.note(requests[0].clone());
    }
    let kept = flood
        .served
        .requests()
        .iter()
        .map(Request::size)
        .sum::<usize>();
    assert!(kept <= MAX_RECORDS, "{kept}");
    assert!(flood.served.left_out() >= 1);
}
