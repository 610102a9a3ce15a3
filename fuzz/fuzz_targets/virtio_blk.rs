//! A guest whose memory holds anything, and a queue in it.
//!
//! Oracle: serving the queue comes to an end without a panic, in one step no more requests than the
//! queue has descriptors; the base stays as it is. The input is the start of the guest's memory; its
//! first 4 KiB hold the descriptors, then the rings, then headers and data.
#![no_main]

use std::sync::Arc;

use forger_block::{BlockRead, Overlay};
use forger_disk::Disk;
use forger_disk::virtio_blk::{Faults, process};
use libfuzzer_sys::fuzz_target;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const QUEUE: u16 = 16;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, input)) = input.split_first() else {
        return;
    };
    let memory = GuestMemoryMmap::from_ranges(&[
        (GuestAddress(0), 128 << 10),
        (GuestAddress(1 << 20), 64 << 10),
    ])
    .expect("memory");
    let len = input.len().min(64 << 10);
    memory.write_slice(&input[..len], GuestAddress(0)).expect("it fits");
    let base = Arc::new(vec![5_u8; 64 << 10]);
    let shared: Arc<dyn BlockRead> = Arc::<Vec<u8>>::clone(&base);
    let disk = match choice % 2 {
        0 => Disk::ReadOnly(shared),
        _ => Disk::Writable(Arc::new(Overlay::in_memory(shared, 1 << 20))),
    };
    let mut queue = Queue::new(QUEUE).expect("a power of two");
    queue.set_size(QUEUE);
    queue.set_event_idx(choice & 2 != 0);
    let set = [
        queue.try_set_desc_table_address(GuestAddress(0)),
        queue.try_set_avail_ring_address(GuestAddress(0x200)),
        queue.try_set_used_ring_address(GuestAddress(0x400)),
    ];
    assert!(set.iter().all(Result::is_ok));
    queue.set_ready(true);
    let faults = Faults::default();
    for _ in 0..4 {
        match process(&mut queue, &memory, &disk, &faults) {
            Ok(served) => assert!(served <= usize::from(QUEUE)),
            Err(_) => break,
        }
    }
    assert!(base.iter().all(|&byte| byte == 5), "the base changed");
});
