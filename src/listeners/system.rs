//! The few system calls that std and socket2 lack.

use std::io;
use std::mem::{size_of, size_of_val};
use std::os::fd::AsRawFd;

use libc::c_int;

/// Sets a socket option that is an `int`.
pub(super) fn set_option(socket: &impl AsRawFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the pointer and the length are those of `value`, which outlives the call; the kernel only
    // reads it.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) })
}

/// Whether the kernel can cut what this UDP socket sends. Those before 4.18 cannot, and would take no notice of being
/// told to.
pub(super) fn can_segment(socket: &impl AsRawFd) -> bool {
    set_option(socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok()
}

/// Pins the calling thread to the n-th of the cores it may run on, counted round.
pub(super) fn pin_to_core(n: usize) -> io::Result<()> {
    // SAFETY: a cpu_set_t is a bit field; zero is the empty set.
    let mut allowed: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most the length given, which is that of `allowed`.
    check(unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut allowed) })?;
    // SAFETY: CPU_ISSET only reads the set, and every number is below its size.
    let is_allowed = |core: &usize| unsafe { libc::CPU_ISSET(*core, &allowed) };
    let cores: Vec<usize> = (0..libc::CPU_SETSIZE as usize).filter(is_allowed).collect();
    let core = *cores.get(n % cores.len().max(1)).ok_or(io::ErrorKind::NotFound)?;
    // SAFETY: as above; `core` is below the set's size.
    check(unsafe {
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut one);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &one)
    })
}

/// Raises this process's limit of open files to `wanted` as far as the hard limit allows. Gives the
/// limit that holds now.
pub(super) fn raise_open_files(wanted: u64) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit, which `limit` is.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    if limit.rlim_cur < wanted {
        limit.rlim_cur = wanted.min(limit.rlim_max);
        // SAFETY: the kernel only reads `limit`.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    }
    Ok(limit.rlim_cur)
}

fn check(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
