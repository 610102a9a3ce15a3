//! Stands between User-Mode Linux and the system, where Debian's kernel (6.1) and the world disagree.
//!
//! # Registers
//!
//! Debian's kernel keeps a process's extended registers in 2,696 bytes: enough for AVX-512 and
//! protection keys, too little where AMX adds two components behind them (11,008 bytes). The kernel of
//! the host gives the first part of the state to whoever asks for less (`PTRACE_GETREGSET`), but takes
//! only the whole of it (`PTRACE_SETREGSET`, else `EFAULT`), so that the very first process ends in
//! "ptrace set fp regs failed". This library stands between: it completes the state with what the
//! process has behind that part.
//!
//! # Ends
//!
//! Where the kernel's process is killed, those that it started would stay: the threads that wait for
//! its disks, and the processes of the guest, which it traces. This library has them end with it.
//!
//! It is loaded with `LD_PRELOAD` into `linux.uml` and nothing else. Everything that it does not know
//! goes to the system as it came.
#![no_std]

use core::ffi::{c_char, c_int, c_long, c_void};
use core::ptr::{addr_of_mut, copy_nonoverlapping, null_mut};

/// `SYS_ptrace` on x86-64.
const SYS_PTRACE: c_long = 101;
/// `PTRACE_PEEKTEXT`, the first of three requests that return what they find.
const PEEK_FIRST: c_int = 1;
/// `PTRACE_PEEKUSER`, the last of them.
const PEEK_LAST: c_int = 3;
/// `PTRACE_OLDSETOPTIONS`, which the kernel of Debian uses.
const OLD_SETOPTIONS: c_int = 21;
const SETOPTIONS: c_int = 0x4200;
/// `PTRACE_O_EXITKILL`: the traced process ends with the one that traces it.
const EXITKILL: usize = 0x10_0000;
const GETREGSET: c_int = 0x4204;
const SETREGSET: c_int = 0x4205;
/// `NT_X86_XSTATE`
const XSTATE: usize = 0x202;

/// `struct iovec`
#[repr(C)]
struct Vector {
    base: *mut c_void,
    len: usize,
}

/// Room for the whole state, more than any processor has.
#[repr(C, align(64))]
struct Room([u8; 64 << 10]);

/// User-Mode Linux calls from one thread; its stacks are too small for this.
static mut ROOM: Room = Room([0; 64 << 10]);

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// `ptrace(2)`, as the C library has it.
///
/// # Safety
/// As there: `data` points to what the request wants.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ptrace(
    request: c_int,
    pid: c_int,
    addr: *mut c_void,
    data: *mut c_void,
) -> c_long {
    match request {
        SETREGSET if addr as usize == XSTATE => {
            // SAFETY: for this request `data` points to an iovec, which the caller owns.
            unsafe { set_state(pid, addr, data.cast()) }
        }
        PEEK_FIRST..=PEEK_LAST => {
            let mut found: c_long = 0;
            // SAFETY: for these requests the system writes one word to the fourth argument.
            let done = unsafe {
                syscall(
                    SYS_PTRACE,
                    request as c_long,
                    pid as c_long,
                    addr,
                    &raw mut found,
                )
            };
            if done < 0 { done } else { found }
        }
        SETOPTIONS | OLD_SETOPTIONS => {
            let options = (data as usize | EXITKILL) as c_long;
            // SAFETY: for these requests the fourth argument is a number.
            unsafe { syscall(SYS_PTRACE, request as c_long, pid as c_long, addr, options) }
        }
        // SAFETY: the caller's arguments, as they came.
        _ => unsafe { syscall(SYS_PTRACE, request as c_long, pid as c_long, addr, data) },
    }
}

/// Sets the extended registers of a process from a part of the state.
unsafe fn set_state(pid: c_int, addr: *mut c_void, part: *const Vector) -> c_long {
    let room = addr_of_mut!(ROOM).cast::<u8>();
    let mut whole = Vector {
        base: room.cast(),
        len: size_of::<Room>(),
    };
    // SAFETY: the system writes at most `len` bytes to the room, and the length it wrote; then the
    // caller's part, which is shorter, is copied over its beginning. One thread calls.
    unsafe {
        let got = syscall(
            SYS_PTRACE,
            GETREGSET as c_long,
            pid as c_long,
            addr,
            &raw mut whole,
        );
        let part = &*part;
        if got < 0 || whole.len <= part.len || part.base == null_mut() {
            return syscall(
                SYS_PTRACE,
                SETREGSET as c_long,
                pid as c_long,
                addr,
                part as *const Vector,
            );
        }
        copy_nonoverlapping(part.base.cast::<u8>(), room, part.len);
        syscall(
            SYS_PTRACE,
            SETREGSET as c_long,
            pid as c_long,
            addr,
            &raw mut whole,
        )
    }
}

/// `SYS_prctl` on x86-64.
const SYS_PRCTL: c_long = 157;
/// `PR_SET_PDEATHSIG`
const SET_PARENT_DEATH_SIGNAL: c_long = 1;
const SIGKILL: c_long = 9;
/// `RTLD_NEXT`: what the next library has under a name.
const NEXT: *mut c_void = usize::MAX as *mut c_void;

/// What a new process runs.
type Body = unsafe extern "C" fn(*mut c_void) -> c_int;

/// `clone(2)`, as the C library has it.
type Clone = unsafe extern "C" fn(
    Body,
    *mut c_void,
    c_int,
    *mut c_void,
    *mut c_void,
    *mut c_void,
    *mut c_void,
) -> c_int;

/// What the caller wants run, laid on the new stack.
#[repr(C, align(16))]
struct Start {
    body: Body,
    argument: *mut c_void,
}

/// `clone(2)`, as the C library has it.
///
/// # Safety
/// As there: `stack` is the end of room for a stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone(
    body: Body,
    stack: *mut c_void,
    flags: c_int,
    argument: *mut c_void,
    parent: *mut c_void,
    local: *mut c_void,
    child: *mut c_void,
) -> c_int {
    // SAFETY: the name ends in 0, and is that of a function of this type; the start lies within the
    // caller's stack, below which the new process begins. The last three are passed as they came,
    // unused where the caller gave none.
    unsafe {
        let found = dlsym(NEXT, c"clone".as_ptr());
        if found.is_null() {
            return -1;
        }
        let next: Clone = core::mem::transmute(found);
        let top = (stack as usize - size_of::<Start>()) & !15;
        let start = top as *mut Start;
        start.write(Start { body, argument });
        next(run, start.cast(), flags, start.cast(), parent, local, child)
    }
}

/// Runs in a new process: has it end with the one that started it, then does what that one wants.
unsafe extern "C" fn run(start: *mut c_void) -> c_int {
    // SAFETY: `clone` has written it.
    unsafe {
        let start = start.cast::<Start>().read();
        syscall(SYS_PRCTL, SET_PARENT_DEATH_SIGNAL, SIGKILL, 0_i64, 0_i64, 0_i64);
        (start.body)(start.argument)
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
