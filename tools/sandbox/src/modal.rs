//! `modal`: a sandbox at Modal.

pub mod wire;
