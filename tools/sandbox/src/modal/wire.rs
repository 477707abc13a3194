//! Modal's wire: messages and calls, made from `proto/` by a test of this crate, which also keeps them
//! the same. `PULLWRIGHT_WRITE_WIRE=1` writes them anew.

/// The control plane.
pub mod client {
    include!("wire/modal.client.rs");
}

/// The command router, which runs beside each sandbox.
pub mod task_command_router {
    include!("wire/modal.task_command_router.rs");
}
