//! The proxy of a sandbox, against real sockets.

mod addresses;
mod clients;
mod hosts;
mod http;
mod limits;
mod malformed;
mod peer;
mod records;
mod rig;
mod tunnels;
