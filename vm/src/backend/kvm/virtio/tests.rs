use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forger_block::{BlockRead, BlockStore, Overlay};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::{Block, Broken, Console, Device, Entropy, Identity, Queues, Registers, Worker};
use crate::backend::Disk;
use crate::backend::kvm::end::End;
use crate::backend::kvm::seccomp::Thread;
use crate::cause::Cause;

/// The driver's end of a device, one queue of which has 8 descriptors at a multiple of this.
const QUEUE: u64 = 0x1000;
const AVAILABLE: u64 = 0x400;
const USED: u64 = 0x800;
/// Where content lies.
const DATA: u64 = 0x1_0000;
/// The device writes what a descriptor points to; another one follows.
const WRITE: u16 = 2;
const NEXT: u16 = 1;

struct Driver {
    memory: GuestMemoryMmap,
    registers: Registers,
    _worker: Worker,
    line: EventFd,
    end: Arc<End>,
}

impl Driver {
    /// Finds a device and starts it as a driver does.
    fn start(device: impl Device + 'static, queues: u32, kind: Thread) -> Self {
        let ranges = [(GuestAddress(0), 1 << 20)];
        let memory = GuestMemoryMmap::from_ranges(&ranges).unwrap();
        let line = EventFd::new(EFD_NONBLOCK).unwrap();
        let own = line.try_clone().unwrap();
        let end = Arc::new(End::default());
        let (worker, registers) = Worker::spawn(device, &memory, line, kind, &end).unwrap();
        let mut driver = Self {
            end,
            memory,
            registers,
            _worker: worker,
            line: own,
        };
        assert_eq!(driver.read(0), u32::from_le_bytes(*b"virt"));
        driver.begin(queues);
        assert_eq!(driver.read(0x70), 15);
        driver
    }

    fn begin(&mut self, queues: u32) {
        for (register, value) in [(0x70, 0), (0x70, 3), (0x14, 1)] {
            self.write(register, value);
        }
        assert_eq!(self.read(0x10) & 1, 1, "it follows the current version");
        for (register, value) in [(0x24, 1), (0x20, 1), (0x70, 11)] {
            self.write(register, value);
        }
        for number in 0..queues {
            let at = u32::try_from(QUEUE).unwrap() * (number + 1);
            self.write(0x30, number);
            self.write(0x38, 8);
            for (register, within) in [(0x80, 0), (0x90, 0x400), (0xa0, 0x800)] {
                self.write(register, at + within);
            }
            self.write(0x44, 1);
            assert_eq!(self.read(0x44), 1);
        }
        self.write(0x70, 15);
    }

    fn write(&mut self, register: u64, value: u32) {
        self.registers.write(register, &value.to_le_bytes());
    }

    fn read(&self, register: u64) -> u32 {
        let mut bytes = [0; 4];
        self.registers.read(register, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// Puts a chain into a queue: address, length and flags of its descriptors, from `first` on.
    fn put(&self, queue: u64, count: u16, first: u16, chain: &[(u64, u32, u16)]) {
        let base = QUEUE * (queue + 1);
        for (number, (address, len, flags)) in (first..).zip(chain) {
            let last = usize::from(number - first) + 1 == chain.len();
            let flags = if last { *flags } else { flags | NEXT };
            let at = GuestAddress(base + u64::from(number) * 16);
            let next = number + 1;
            let bytes = [
                &address.to_le_bytes()[..],
                &len.to_le_bytes(),
                &flags.to_le_bytes(),
                &next.to_le_bytes(),
            ];
            self.memory.write_slice(&bytes.concat(), at).unwrap();
        }
        let ring = base + AVAILABLE;
        let slot = GuestAddress(ring + 4 + u64::from(count % 8) * 2);
        self.memory.write_obj(first, slot).unwrap();
        let index = GuestAddress(ring + 2);
        self.memory.write_obj(count + 1, index).unwrap();
        self.registers.notify();
    }

    /// Waits until so many chains were used; returns the length of the last one.
    fn used(&self, queue: u64, count: u16) -> u32 {
        let ring = QUEUE * (queue + 1) + USED;
        let start = Instant::now();
        loop {
            let index: u16 = self.memory.read_obj(GuestAddress(ring + 2)).unwrap();
            if index >= count {
                let slot = ring + 4 + u64::from((count - 1) % 8) * 8;
                return self.memory.read_obj(GuestAddress(slot + 4)).unwrap();
            }
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{index} of {count}"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn data(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory
            .read_slice(&mut bytes, GuestAddress(at))
            .unwrap();
        bytes
    }
}

/// Starts the channel and opens its port.
fn channel() -> (Driver, UnixStream) {
    let (host, guest) = UnixStream::pair().unwrap();
    let driver = Driver::start(Console::new(guest).unwrap(), 4, Thread::Channel);
    for number in 0..2 {
        let at = DATA + u64::from(number) * 16;
        driver.put(2, number, number, &[(at, 8, WRITE)]);
    }
    // The device is there; its port is ready; the guest has opened it.
    for (number, (event, value)) in (0..).zip([(0_u16, 1_u16), (3, 1), (6, 1)]) {
        let at = DATA + 0x100 + u64::from(number) * 16;
        let message = [&[0; 4][..], &event.to_le_bytes(), &value.to_le_bytes()].concat();
        driver
            .memory
            .write_slice(&message, GuestAddress(at))
            .unwrap();
        driver.put(3, number, number, &[(at, 8, 0)]);
        driver.used(3, number + 1);
    }
    assert_eq!(driver.used(2, 2), 8);
    // It is added, and open.
    assert_eq!(driver.data(DATA, 8), [0, 0, 0, 0, 1, 0, 1, 0]);
    assert_eq!(driver.data(DATA + 16, 8), [0, 0, 0, 0, 6, 0, 1, 0]);
    (driver, host)
}

#[test]
fn the_channel_carries_bytes_both_ways_and_interrupts() {
    let (driver, mut host) = channel();
    host.write_all(b"to the guest").unwrap();
    driver.put(
        0,
        0,
        0,
        &[(DATA + 0x1000, 5, WRITE), (DATA + 0x2000, 100, WRITE)],
    );
    assert_eq!(driver.used(0, 1), 12);
    assert_eq!(driver.data(DATA + 0x1000, 5), b"to th");
    assert_eq!(driver.data(DATA + 0x2000, 7), b"e guest");
    driver
        .memory
        .write_slice(b"to the host", GuestAddress(DATA))
        .unwrap();
    driver.put(1, 0, 0, &[(DATA, 11, 0)]);
    let mut said = [0; 11];
    host.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"to the host");
    assert!(driver.line.read().unwrap() > 0);
    assert_eq!(driver.read(0x60), 1);
}

#[test]
fn what_a_guest_said_before_it_closed_the_port_arrives_and_then_the_end() {
    let (driver, mut host) = channel();
    let closed = [0, 0, 0, 0, 6, 0, 0, 0];
    let at = DATA + 0x200;
    driver
        .memory
        .write_slice(b"bye", GuestAddress(DATA))
        .unwrap();
    driver
        .memory
        .write_slice(&closed, GuestAddress(at))
        .unwrap();
    driver.put(1, 0, 0, &[(DATA, 3, 0)]);
    driver.put(3, 3, 3, &[(at, 8, 0)]);
    let mut said = String::new();
    host.read_to_string(&mut said).unwrap();
    assert_eq!(said, "bye");
}

#[test]
fn what_a_guest_said_before_it_let_go_of_its_device_arrives() {
    let (mut driver, mut host) = channel();
    driver
        .memory
        .write_slice(b"bye", GuestAddress(DATA))
        .unwrap();
    driver.put(1, 0, 0, &[(DATA, 3, 0)]);
    driver.write(0x70, 0);
    assert_eq!(driver.read(0x70), 0);
    drop(driver);
    let mut said = String::new();
    host.read_to_string(&mut said).unwrap();
    assert_eq!(said, "bye");
}

#[test]
fn a_chain_that_leads_out_of_memory_breaks_its_device_until_the_driver_starts_anew() {
    let (mut driver, _host) = channel();
    driver.put(1, 0, 0, &[(1 << 40, 16, 0)]);
    let start = Instant::now();
    while driver.read(0x70) & 64 == 0 {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(1));
    }
    driver.write(0x70, 0);
    assert_eq!(driver.read(0x70), 0);
    for queue in 1..5 {
        let rings = [0; 0xc00];
        driver
            .memory
            .write_slice(&rings, GuestAddress(QUEUE * queue))
            .unwrap();
    }
    driver.begin(4);
    assert_eq!(driver.read(0x70), 15);
}

#[test]
fn a_disk_is_read_and_written_and_a_source_gives_bytes() {
    let base: Arc<dyn BlockRead> = Arc::new(vec![3; 4096]);
    let store: Arc<dyn BlockStore> = Arc::new(Overlay::in_memory(base, 1 << 20));
    let disk = Disk {
        store: Arc::clone(&store),
        read_only: false,
    };
    let driver = Driver::start(Block::new(&disk, Arc::default()), 1, Thread::Disk);
    assert_eq!(driver.read(0x100), 8, "sectors");
    // Sector 1: read, then written.
    for (number, kind, flags) in [(0_u16, 0_u32, WRITE), (1, 1, 0)] {
        let head = [&kind.to_le_bytes()[..], &[0; 4], &1_u64.to_le_bytes()].concat();
        driver
            .memory
            .write_slice(&head, GuestAddress(DATA))
            .unwrap();
        let content = (DATA + 0x1000, 512, flags);
        let chain = [(DATA, 16, 0), content, (DATA + 0x2000, 1, WRITE)];
        driver.put(0, number, 0, &chain);
        driver.used(0, number + 1);
        assert_eq!(driver.data(DATA + 0x2000, 1), [0]);
        assert_eq!(driver.data(DATA + 0x1000, 512), [3; 512]);
    }
    let zeros = std::fs::File::open("/dev/zero").unwrap();
    let driver = Driver::start(Entropy(zeros), 1, Thread::Entropy);
    driver.put(0, 0, 0, &[(DATA, 64, WRITE)]);
    assert_eq!(driver.used(0, 1), 64);
}

/// A device with a mistake.
struct Mistaken;

impl Device for Mistaken {
    fn identity(&self) -> Identity {
        Identity {
            kind: 4,
            features: 1 << 32,
            queues: 1,
            configuration: Vec::new(),
        }
    }

    fn serve(&mut self, queues: &mut Queues<'_>) -> Result<bool, Broken> {
        queues.each(0, |_| panic!("this is meant"))
    }
}

#[test]
fn a_device_whose_thread_panics_ends_the_machine_and_nobody_waits_for_it() {
    let mut driver = Driver::start(Mistaken, 1, Thread::Entropy);
    driver.put(0, 0, 0, &[(DATA, 64, WRITE)]);
    let Cause::Broken(why) = driver.end.wait() else {
        panic!("a device is broken");
    };
    assert_eq!(why, "the thread of a device panicked");
    assert_eq!(driver.read(0x70) & 64, 64, "the driver is told");
    // It does not start again, and the driver waits for nothing.
    driver.write(0x70, 0);
    driver.write(0x70, 0);
    assert_eq!(driver.read(0x70), 0);
}

#[test]
fn features_that_are_not_offered_are_not_agreed_on() {
    let zeros = std::fs::File::open("/dev/zero").unwrap();
    let mut driver = Driver::start(Entropy(zeros), 1, Thread::Entropy);
    for (register, value) in [
        (0x70, 0),
        (0x70, 3),
        (0x24, 0),
        (0x20, 1),
        (0x24, 1),
        (0x20, 1),
    ] {
        driver.write(register, value);
    }
    driver.write(0x70, 11);
    assert_eq!(driver.read(0x70), 3);
    driver.write(0x70, 15);
    assert_eq!(driver.read(0x70) & 4, 0, "it does not start");
}
