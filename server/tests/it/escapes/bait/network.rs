//! What listens on the host.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::path::{Path, PathBuf};

use crate::escapes::stage::open_to;

/// Ports that the system gives to nobody who asks for any, so that no test beside this one that still looks
/// for a server that is gone comes here.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

/// Listeners that nobody may reach.
pub(super) struct Network {
    tcp: Vec<(&'static str, TcpListener)>,
    udp: UdpSocket,
    socket: PathBuf,
    unix: [UnixListener; 2],
    abstract_name: String,
}

impl Network {
    pub(super) fn lay(stage: &Path) -> Self {
        let mut tcp = vec![("port", listen(Ipv4Addr::LOCALHOST.into()))];
        // A machine may have one family of addresses only.
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            tcp.push(("port6", listen(Ipv6Addr::LOCALHOST.into())));
        }
        if let Some(address) = own_address() {
            tcp.push(("lan", listen(address)));
        }
        let socket = stage.join("socket");
        let by_path = UnixListener::bind(&socket).unwrap();
        open_to(&socket, 0o777);
        let abstract_name = format!("escape-{}", uuid::Uuid::new_v4().simple());
        let address = UnixAddr::from_abstract_name(&abstract_name).unwrap();
        let network = Self {
            tcp,
            udp: at_some_port(|port| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))),
            socket,
            unix: [by_path, UnixListener::bind_addr(&address).unwrap()],
            abstract_name,
        };
        network.wait_for_nothing();
        network
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(super) fn names(&self) -> BTreeMap<&'static str, String> {
        let mut names = BTreeMap::from([
            ("socket", self.socket.display().to_string()),
            ("abstract", self.abstract_name.clone()),
            ("udp", self.udp.local_addr().unwrap().port().to_string()),
        ]);
        for (name, listener) in &self.tcp {
            let address = listener.local_addr().unwrap();
            names.insert(name, address.port().to_string());
            if *name == "lan" {
                names.insert("lan_ip", address.ip().to_string());
            }
        }
        names
    }

    pub(super) fn disturbed(&self) -> Option<String> {
        for (name, listener) in &self.tcp {
            match listener.accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return Some(format!("a connection came to @{name}@: {other:?}")),
            }
        }
        for listener in &self.unix {
            match listener.accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return Some(format!("a connection came to a unix socket: {other:?}")),
            }
        }
        match self.udp.recv(&mut [0; 16]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            other => Some(format!("a datagram came to @udp@: {other:?}")),
        }
    }

    fn wait_for_nothing(&self) {
        for (_, listener) in &self.tcp {
            listener.set_nonblocking(true).unwrap();
        }
        for listener in &self.unix {
            listener.set_nonblocking(true).unwrap();
        }
        self.udp.set_nonblocking(true).unwrap();
    }
}

fn listen(address: IpAddr) -> TcpListener {
    at_some_port(|port| TcpListener::bind((address, port)))
}

fn at_some_port<T>(bind: impl Fn(u16) -> io::Result<T>) -> T {
    let drawn = || uuid::Uuid::new_v4().as_u128() as usize % PORTS.len();
    let mut ports = std::iter::repeat_with(|| PORTS.start + drawn() as u16);
    ports.find_map(|port| bind(port).ok()).unwrap()
}

/// This machine's address in its network, if it is in one. Nothing is sent.
pub(in crate::escapes) fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket
        .connect(SocketAddr::from(([198, 51, 100, 1], 9)))
        .ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}
