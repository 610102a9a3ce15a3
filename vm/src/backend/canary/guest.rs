//! The smallest guest that says something: one processor, 64 KiB, no devices.
//!
//! ```text
//!  0x1000  page tables, three levels: the first 2 MiB are where they are
//!  0x4000  segments: none, code of 64 bits, data
//!  0x5000  exceptions: the third one only
//!  0x6000  16 bytes to write to
//!  0x7000  the stack, downwards
//!  0x8000  the program
//! ```
#![expect(
    unsafe_code,
    reason = "only the kernel knows that a guest may use this process's memory as its own"
)]

use std::ffi::{c_int, c_void};
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_regs, kvm_segment, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use rustix::time::{ClockId, clock_gettime};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

/// How often the guest counts down in a round.
const COUNT: u64 = 20_000;
/// How long a round may take of the processor's time; a real one takes a hundredth of that.
const FAST: Duration = Duration::from_millis(5);
/// How long there may be rounds that are slower.
const PATIENCE: Duration = Duration::from_millis(60);
/// How long it may take to be interrupted.
const STUBBORN: Duration = Duration::from_secs(1);

const MEMORY: u64 = 0x1_0000;
const TABLES: u64 = 0x1000;
const SEGMENTS: u64 = 0x4000;
const EXCEPTIONS: u64 = 0x5000;
const STACK: u64 = 0x7ff0;
const PROGRAM: u64 = 0x8000;
/// Where in the program the exception's handler begins.
const HANDLER: u64 = 0x76;
/// The port that gets the result.
const PORT: u16 = 0x99;

/// The program, which goes round for ever. Bits of edi say which instructions the processor has, esi how often it
/// counts down from the second round on; ebp sums up what came out.
#[rustfmt::skip]
const CODE: [u8; 0x7a] = [
    0xff, 0xc9,                                     // 00: dec ecx
    0x75, 0xfc,                                     // 02: jnz 00
    0x31, 0xed,                                     // 04: xor ebp, ebp
    0xcc,                                           // 06: int3
    0x66, 0x0f, 0xef, 0xc0,                         // 07: pxor xmm0, xmm0
    0x66, 0x0f, 0x7f, 0x04, 0x25, 0x00, 0x60, 0, 0, // 0b: movdqa [0x6000], xmm0
    0xf7, 0xc7, 0x01, 0x00, 0x00, 0x00,             // 14: test edi, 1
    0x74, 0x11,                                     // 1a: jz 2d
    0xb8, 0x03, 0x00, 0x00, 0x00,                   // 1c: mov eax, 3
    0xba, 0x04, 0x00, 0x00, 0x00,                   // 21: mov edx, 4
    0xc4, 0xe2, 0x69, 0xf7, 0xc0,                   // 26: shlx eax, eax, edx
    0x01, 0xc5,                                     // 2b: add ebp, eax
    0xf7, 0xc7, 0x02, 0x00, 0x00, 0x00,             // 2d: test edi, 2
    0x74, 0x0b,                                     // 33: jz 40
    0xb8, 0xff, 0x00, 0x00, 0x00,                   // 35: mov eax, 255
    0xf3, 0x0f, 0xb8, 0xc0,                         // 3a: popcnt eax, eax
    0x01, 0xc5,                                     // 3e: add ebp, eax
    0xf7, 0xc7, 0x04, 0x00, 0x00, 0x00,             // 40: test edi, 4
    0x74, 0x26,                                     // 46: jz 6e
    0x31, 0xc0,                                     // 48: xor eax, eax
    0x31, 0xd2,                                     // 4a: xor edx, edx
    0xbb, 0x05, 0x00, 0x00, 0x00,                   // 4c: mov ebx, 5
    0xb9, 0x07, 0x00, 0x00, 0x00,                   // 51: mov ecx, 7
    0xf0, 0x48, 0x0f, 0xc7, 0x0c, 0x25, 0x00, 0x60, 0, 0, // 56: lock cmpxchg16b [0x6000]
    0x03, 0x2c, 0x25, 0x00, 0x60, 0x00, 0x00,       // 60: add ebp, [0x6000]
    0x03, 0x2c, 0x25, 0x08, 0x60, 0x00, 0x00,       // 67: add ebp, [0x6008]
    0x89, 0xe8,                                     // 6e: mov eax, ebp
    0xe6, 0x99,                                     // 70: out 0x99, al
    0x89, 0xf1,                                     // 72: mov ecx, esi
    0xeb, 0x8a,                                     // 74: jmp 00
    0xff, 0xc5,                                     // 76: inc ebp
    0x48, 0xcf,                                     // 78: iretq
];

/// Instructions that not every processor has: the leaf of CPUID, the register (ebx or ecx) and its bit, the
/// bit in edi, and what the program adds for it.
const OPTIONAL: [(u32, bool, u32, u64, u8); 3] = [
    (7, true, 8, 1, 3 << 4),
    (1, false, 23, 2, 8),
    (1, false, 13, 4, 5 + 7),
];

/// Why a guest does not run as it should.
#[derive(Debug)]
pub(super) struct Doubt {
    pub(super) reason: String,
    /// It would be the same at another time.
    pub(super) lasting: bool,
}

impl Doubt {
    fn lasting(reason: String) -> Self {
        let lasting = true;
        Self { reason, lasting }
    }

    fn passing(reason: String) -> Self {
        let lasting = false;
        Self { reason, lasting }
    }
}

/// Tries a guest.
pub(super) fn attempt(device: &Path) -> Result<(), Doubt> {
    let guest = Guest::make(device)
        .map_err(|error| Doubt::lasting(format!("it makes no guest: {error}")))?;
    register_signal_handler(SIGRTMIN(), nothing)
        .map_err(|error| Doubt::passing(format!("a signal cannot be handled: {error}")))?;
    let (done, ended) = channel();
    let thread = thread::Builder::new()
        .name("kvm canary".to_owned())
        .spawn(move || {
            // Whoever waits may have given up.
            let _ = done.send(guest.run());
        })
        .map_err(|error| Doubt::passing(format!("no thread can be started: {error}")))?;
    let start = Instant::now();
    let mut patience = PATIENCE;
    while start.elapsed() < STUBBORN {
        if let Ok(result) = ended.recv_timeout(patience) {
            return result;
        }
        // Again and again: it may have been just before it entered the guest.
        let _ = thread.kill(SIGRTMIN());
        patience = Duration::from_millis(1);
    }
    Err(Doubt::lasting("a guest cannot be interrupted".to_owned()))
}

/// What the signal does: a processor that it reaches leaves its guest.
extern "C" fn nothing<T>(_: c_int, _: *mut T, _: *mut c_void) {}

/// A guest that is ready to run.
struct Guest {
    vcpu: VcpuFd,
    expected: u8,
    /// Before the memory: fields are dropped in this order.
    _vm: VmFd,
    _memory: GuestMemoryMmap,
}

impl Guest {
    fn make(device: &Path) -> Result<Self, String> {
        let text = |error: kvm_ioctls::Error| std::io::Error::from(error).to_string();
        let path = std::ffi::CString::new(device.as_os_str().as_encoded_bytes());
        let kvm = Kvm::new_with_path(path.map_err(|error| error.to_string())?).map_err(text)?;
        let vm = kvm.create_vm().map_err(text)?;
        let memory = memory().ok_or("no memory")?;
        let address = memory.get_host_address(GuestAddress(0));
        let region = kvm_userspace_memory_region {
            memory_size: MEMORY,
            userspace_addr: address
                .ok()
                .and_then(|address| u64::try_from(address.addr()).ok())
                .ok_or("no memory")?,
            ..Default::default()
        };
        // SAFETY: the memory is mapped with this length until the structure that is returned drops it, after
        // the machine and its only processor; nobody else uses it.
        unsafe { vm.set_user_memory_region(region) }.map_err(text)?;
        let vcpu = vm.create_vcpu(0).map_err(text)?;
        let cpuid = kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(text)?;
        vcpu.set_cpuid2(&cpuid).map_err(text)?;
        // The exception adds one.
        let (mut features, mut expected) = (0, 1);
        for (leaf, in_ebx, bit, flag, adds) in OPTIONAL {
            let mut leaves = cpuid.as_slice().iter();
            let found = leaves.find(|entry| entry.function == leaf && entry.index == 0);
            let register = found.map(|entry| if in_ebx { entry.ebx } else { entry.ecx });
            if register.is_some_and(|register| register >> bit & 1 == 1) {
                features |= flag;
                expected += adds;
            }
        }
        set_up(&vcpu, features).map_err(text)?;
        Ok(Self {
            vcpu,
            expected,
            _vm: vm,
            _memory: memory,
        })
    }

    /// Runs it until a round is fast, or there is no patience left.
    ///
    /// The first round does not count, in which it counts down once: an emulated processor takes long for whatever it
    /// meets for the first time. Nor does a round that was slow once: the host may have other work.
    fn run(mut self) -> Result<(), Doubt> {
        let (clock, start) = (Instant::now(), processor_time());
        self.round()?;
        let mut best = None;
        while clock.elapsed() < PATIENCE {
            match self.round()? {
                Some(took) if took <= FAST => return Ok(()),
                Some(took) => best = Some(best.map_or(took, |best: Duration| best.min(took))),
                None => break,
            }
        }
        if processor_time().saturating_sub(start) < PATIENCE / 2 {
            let reason = "the machine is too busy to find out how fast a guest runs";
            return Err(Doubt::passing(reason.to_owned()));
        }
        let took = best.map_or_else(String::new, |best| format!(" ({} ms)", best.as_millis()));
        Err(Doubt::lasting(format!(
            "it runs the guest's kernel many times slower than the processor{took}"
        )))
    }

    /// Runs it to its next result; returns how long that took of the processor's time, or nothing if it was
    /// interrupted.
    fn round(&mut self) -> Result<Option<Duration>, Doubt> {
        let start = processor_time();
        let said = match self.vcpu.run() {
            Ok(VcpuExit::IoOut(PORT, &[said])) => said,
            Ok(exit) => {
                let ended = format!("a guest that tests the processor ends with {exit:?}");
                return Err(Doubt::lasting(ended));
            }
            Err(error) if error.errno() == rustix::io::Errno::INTR.raw_os_error() => {
                return Ok(None);
            }
            Err(error) => {
                let error = std::io::Error::from(error);
                let stopped = format!("a guest that tests the processor stops: {error}");
                return Err(Doubt::lasting(stopped));
            }
        };
        let took = processor_time().saturating_sub(start);
        match said == self.expected {
            true => Ok(Some(took)),
            false => Err(Doubt::lasting(format!(
                "a guest calculates {said} where a processor has {}",
                self.expected
            ))),
        }
    }
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Makes the guest's memory and lays out what is in it.
fn memory() -> Option<GuestMemoryMmap> {
    let len = usize::try_from(MEMORY).ok()?;
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), len)]).ok()?;
    // Present and writable; the last one is a page of 2 MiB.
    let tables = [
        (TABLES, TABLES + 0x1003),
        (TABLES + 0x1000, TABLES + 0x2003),
        (TABLES + 0x2000, 0x83),
    ];
    let segments = [
        (SEGMENTS, 0),
        (SEGMENTS + 8, 0x00af_9b00_0000_ffff),
        (SEGMENTS + 16, 0x00cf_9300_0000_ffff),
    ];
    // An interrupt gate to the handler, by the segment of code.
    let handler = PROGRAM + HANDLER;
    let gate = (handler & 0xffff) | 8 << 16 | 0x8e00 << 32;
    let exceptions = [(EXCEPTIONS + 3 * 16, gate), (EXCEPTIONS + 3 * 16 + 8, 0)];
    for (address, value) in tables.into_iter().chain(segments).chain(exceptions) {
        memory.write_obj(value, GuestAddress(address)).ok()?;
    }
    memory.write_slice(&CODE, GuestAddress(PROGRAM)).ok()?;
    Some(memory)
}

/// Sets the registers: 64 bits, from the program's beginning.
fn set_up(vcpu: &VcpuFd, features: u64) -> Result<(), kvm_ioctls::Error> {
    let mut special = vcpu.get_sregs()?;
    let code = kvm_segment {
        limit: u32::MAX,
        selector: 8,
        type_: 0xb,
        present: 1,
        l: 1,
        s: 1,
        g: 1,
        ..Default::default()
    };
    let data = kvm_segment {
        selector: 16,
        type_: 3,
        l: 0,
        db: 1,
        ..code
    };
    special.cs = code;
    (special.ds, special.es, special.ss) = (data, data, data);
    (special.fs, special.gs) = (data, data);
    (special.gdt.base, special.gdt.limit) = (SEGMENTS, 23);
    (special.idt.base, special.idt.limit) = (EXCEPTIONS, 4 * 16 - 1);
    special.cr3 = TABLES;
    // Physical addresses of 36 bits and more; the registers of vectors and their exceptions.
    special.cr4 = 1 << 5 | 1 << 9 | 1 << 10;
    // Paging, write protection, numeric errors, the coprocessor, protected mode.
    special.cr0 = 1 << 31 | 1 << 16 | 1 << 5 | 1 << 4 | 1 << 1 | 1;
    // Long mode, switched on and active.
    special.efer = 1 << 8 | 1 << 10;
    vcpu.set_sregs(&special)?;
    vcpu.set_regs(&kvm_regs {
        rip: PROGRAM,
        rsp: STACK,
        rcx: 1,
        rdi: features,
        rsi: COUNT,
        // A bit that is always set.
        rflags: 2,
        ..Default::default()
    })
}
