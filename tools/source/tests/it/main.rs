//! The control plane's git against real git: smart HTTP on the loopback, hostile bundles, pushes.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by a panic, its helpers too"
)]

mod accept;
mod checkout;
mod clone_modes;
mod fetch;
mod hosted;
mod hostile;
mod http_backend;
mod lab;
mod onto;
mod policy;
mod private;
mod push;
mod restore;
mod secrecy;
mod shelf;
mod take_in;
