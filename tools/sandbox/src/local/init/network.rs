//! The network inside: a loopback interface, and the proxy's listener on it.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd as _;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::local::plan::Plan;
use crate::local::step::{During as _, Failure, Step};

const LOOPBACK: &[u8] = b"lo";

/// Brings the loopback interface up and, if the plan names a port, listens on it. The listener
/// belongs to this network wherever it is accepted from, so the server needs no relay inside.
pub(super) fn open(plan: &Plan) -> Result<Option<TcpListener>, Failure> {
    raise_loopback().during(Step::Network, || {
        "bring the loopback interface up".to_owned()
    })?;
    let Some(port) = plan.proxy_port else {
        return Ok(None);
    };
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map(Some)
        .during(Step::Network, || format!("listen on 127.0.0.1:{port}"))
}

#[expect(unsafe_code, reason = "no crate here offers interface flags")]
fn raise_loopback() -> io::Result<()> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: zero is a valid value of every field.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(LOOPBACK) {
        *to = *from as libc::c_char;
    }
    let up = libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
    request.ifr_ifru.ifru_flags = up;
    // SAFETY: the kernel reads one request, which outlives the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } < 0 {
        true => Err(io::Error::last_os_error()),
        false => Ok(()),
    }
}
