//! The kernel's floor: a bare loop of recvmmsg and sendmmsg that only sets QR, with the socket options of
//! our UDP listener and none of its code, so that the one can be held against the other.
//! See benches/lab/README.md.

use std::mem::{size_of_val, zeroed};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use libc::{c_int, c_void, iovec, mmsghdr, sockaddr_storage};
use socket2::{Domain, Socket, Type};

const BUFFER_BYTES: usize = 4160;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().and_then(|address| address.parse::<SocketAddr>().ok());
    let Some(address) = address.filter(SocketAddr::is_ipv4) else {
        eprintln!("usage: echo IPV4:PORT [BATCH]   (0.0.0.0 asks for IP_PKTINFO)");
        std::process::exit(2);
    };
    let batch: usize = arguments.next().and_then(|batch| batch.parse().ok()).unwrap_or(16);

    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_reuse_port(true)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 1 << 20)
        .or_else(|_| socket.set_recv_buffer_size(1 << 20))?;
    set(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
    if address.ip().is_unspecified() {
        set(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
    }
    socket.bind(&address.into())?;

    let mut buffers = vec![[0u8; BUFFER_BYTES]; batch];
    let mut controls = vec![[0u64; 8]; batch];
    // SAFETY: for plain numbers, zero is a value.
    let mut names: Vec<sockaddr_storage> = vec![unsafe { zeroed() }; batch];
    let mut parts: Vec<iovec> = buffers
        .iter_mut()
        .map(|buffer| iovec { iov_base: buffer.as_mut_ptr().cast::<c_void>(), iov_len: 0 })
        .collect();
    // SAFETY: for plain numbers and pointers, zero is a value.
    let mut headers: Vec<mmsghdr> = vec![unsafe { zeroed() }; batch];
    for (n, header) in headers.iter_mut().enumerate() {
        header.msg_hdr.msg_name = (&raw mut names[n]).cast();
        header.msg_hdr.msg_iov = &raw mut parts[n];
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_control = (&raw mut controls[n]).cast();
    }
    let control_bytes = if address.ip().is_unspecified() { size_of_val(&controls[0]) } else { 0 };
    let descriptor = socket.as_raw_fd();
    loop {
        for (header, part) in headers.iter_mut().zip(&mut parts) {
            header.msg_hdr.msg_namelen = size_of_val(&names[0]) as u32;
            header.msg_hdr.msg_controllen = control_bytes as _;
            part.iov_len = BUFFER_BYTES;
        }
        let (base, flags) = (headers.as_mut_ptr(), libc::MSG_WAITFORONE as _);
        // SAFETY: every header points into the vectors above, which live as long as the loop and are not
        // grown; the lengths are those of their elements.
        let received = unsafe { libc::recvmmsg(descriptor, base, batch as u32, flags, std::ptr::null_mut()) };
        let Ok(received) = usize::try_from(received) else { return Err(std::io::Error::last_os_error()) };
        for n in 0..received {
            parts[n].iov_len = headers[n].msg_len as usize;
            buffers[n][2] |= 0x80;
            // The interface of an IP_PKTINFO, after its header of 16 bytes.
            controls[n][2] &= !0xffff_ffff;
        }
        let mut sent = 0;
        while sent < received {
            // SAFETY: as above.
            let result = unsafe {
                libc::sendmmsg(descriptor, headers.as_mut_ptr().add(sent), (received - sent) as u32, 0)
            };
            sent += usize::try_from(result).unwrap_or(1).max(1);
        }
    }
}

fn set(socket: &Socket, level: c_int, name: c_int, value: c_int) -> std::io::Result<()> {
    let length = size_of_val(&value) as u32;
    // SAFETY: pointer and length are those of `value`.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
