//! The interface of a native plugin: a pipe of messages behind four C symbols.
//!
//! A message is one JSON-RPC message in UTF-8, without a line break. It belongs to whoever passes it,
//! only for the call: who wants to keep it copies it, and nobody frees memory of the other side.
//!
//! ```text
//! host                                   plugin
//!  ├── pullwright_plugin_abi_version() ──▶ 1
//!  ├── pullwright_plugin_open(host) ─────▶ an instance; the host struct is copied
//!  ├── pullwright_plugin_send(…) ────────▶ TAKEN, FULL (try again later) or CLOSED
//!  ◀── host.on_message(…) ────────────────┤ the same three answers, from any thread
//!  ◀── host.on_closed(…) ─────────────────┤ at most once, and nothing after it
//!  └── pullwright_plugin_close(instance) ▶ nothing is called any more once it has returned
//! ```
//!
//! No function may block, but for `open` and `close`, or let a panic or an exception cross the border.
//! `close` must not be called from within a callback. FULL bounds the memory of both sides without
//! losing a message. A library is never unloaded. `examples/c-library/pullwright_plugin.h` says the same
//! in C.

use std::ffi::{CStr, c_int, c_void};

/// The version of this interface: what [`VERSION_SYMBOL`] answers.
pub const ABI_VERSION: u32 = 1;

/// A [`VersionFn`].
pub const VERSION_SYMBOL: &CStr = c"pullwright_plugin_abi_version";
/// An [`OpenFn`].
pub const OPEN_SYMBOL: &CStr = c"pullwright_plugin_open";
/// A [`SendFn`].
pub const SEND_SYMBOL: &CStr = c"pullwright_plugin_send";
/// A [`CloseFn`].
pub const CLOSE_SYMBOL: &CStr = c"pullwright_plugin_close";

/// The message was taken over.
pub const TAKEN: c_int = 0;
/// There is no room for it now; offer the same one again a little later.
pub const FULL: c_int = 1;
/// No message will ever be taken again.
pub const CLOSED: c_int = 2;

/// The longest message either side takes, in bytes. A longer one is answered with [`CLOSED`].
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// What a plugin may call. Valid until [`CloseFn`] has returned; copied by the plugin in [`OpenFn`].
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Host {
    /// Passed back as it is.
    pub context: *mut c_void,
    /// Takes a message of the plugin, from any thread: [`TAKEN`], [`FULL`] or [`CLOSED`].
    pub on_message:
        unsafe extern "C" fn(context: *mut c_void, message: *const u8, length: usize) -> c_int,
    /// The plugin has ended by itself.
    pub on_closed: unsafe extern "C" fn(context: *mut c_void),
}

/// Answers the version of the interface that the plugin was made for.
pub type VersionFn = unsafe extern "C" fn() -> u32;
/// Starts an instance, or answers null. The struct is valid for the call only.
pub type OpenFn = unsafe extern "C" fn(host: *const Host) -> *mut c_void;
/// Offers a message to an instance: [`TAKEN`], [`FULL`] or [`CLOSED`].
pub type SendFn =
    unsafe extern "C" fn(instance: *mut c_void, message: *const u8, length: usize) -> c_int;
/// Ends an instance. Called once for each.
pub type CloseFn = unsafe extern "C" fn(instance: *mut c_void);
