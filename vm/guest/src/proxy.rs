//! The guest's end of the proxy: connections to a port on its loopback are carried to the host.

use std::io::{self, Read};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use forger_wire::{Message, Side};

use crate::channel::Outgoing;
use crate::stream::{Input, Stream, Streams, locked};

/// How much is read from a connection at once.
const PIECE: usize = 64 << 10;

/// How many connections are carried at once; others wait in the kernel's queue until one has ended.
const MAX_CARRIED: usize = 128;

/// How many connections are carried.
#[derive(Debug, Default)]
struct Carried {
    count: Mutex<usize>,
    ended: Condvar,
}

/// A connection's turn, which ends as this is dropped.
#[derive(Debug)]
struct Turn(Arc<Carried>);

impl Turn {
    /// Waits until one more may be carried.
    fn wait(carried: &Arc<Carried>) -> Self {
        let count = locked(&carried.count);
        let waited = carried
            .ended
            .wait_while(count, |count| *count >= MAX_CARRIED);
        *waited.unwrap_or_else(PoisonError::into_inner) += 1;
        Self(Arc::clone(carried))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *locked(&self.0.count) -= 1;
        self.0.ended.notify_one();
    }
}

/// Listens on the loopback and serves in the background.
pub(crate) fn listen(port: u16, streams: &Streams, outgoing: &Outgoing) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot listen on 127.0.0.1:{port}: {error}"),
        )
    })?;
    let (streams, outgoing) = (streams.clone(), outgoing.clone());
    thread::Builder::new().spawn(move || accept(&listener, &streams, &outgoing))?;
    Ok(())
}

fn accept(listener: &TcpListener, streams: &Streams, outgoing: &Outgoing) {
    let carried = Arc::default();
    // The guest's streams have odd numbers.
    let mut id = 1_u32;
    loop {
        let turn = Turn::wait(&carried);
        match listener.accept() {
            Ok((connection, _)) => {
                if let Err(error) = carry(connection, id, turn, streams, outgoing) {
                    streams.close(id);
                    outgoing.log(&format!("cannot carry a connection: {error}"));
                }
                id = id.wrapping_add(2);
            }
            Err(error) => {
                outgoing.log(&format!("cannot accept a connection: {error}"));
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

fn carry(
    connection: TcpStream,
    id: u32,
    turn: Turn,
    streams: &Streams,
    outgoing: &Outgoing,
) -> io::Result<()> {
    let (stream, receiver) = streams.open(id, outgoing);
    stream.send(&Message::Connect)?;
    let answers = connection.try_clone()?;
    let input = Input::new(Arc::clone(&stream), receiver);
    let of_writer = Arc::clone(&stream);
    let writer = thread::Builder::new().spawn(move || {
        input.pour(&answers);
        // A client that is refused may say nothing and stay: it does not keep its turn.
        let how = match of_writer.is_over() {
            true => Shutdown::Both,
            false => Shutdown::Write,
        };
        // The client may have closed it itself.
        let _ = answers.shutdown(how);
    })?;
    let streams = streams.clone();
    thread::Builder::new().spawn(move || {
        let read = ask(connection, &stream);
        let end = match read {
            Ok(()) => Message::Close { side: Side::Stdout },
            Err(_) => Message::Reset,
        };
        // Without a channel the whole guest ends.
        let _ = stream.send(&end);
        let _ = writer.join();
        streams.close(stream.id());
        drop(turn);
    })?;
    Ok(())
}

/// Sends what the client says.
fn ask(mut connection: TcpStream, stream: &Stream) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        match connection.read(&mut piece)? {
            0 => return Ok(()),
            len => stream.put(Side::Stdout, &piece[..len])?,
        }
    }
}
