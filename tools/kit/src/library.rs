//! A tool server as a native library: the author's side of [`pullwright_protocol::abi`].
//!
//! [`export_library!`](crate::export_library) makes the four symbols; this is what they call.

mod bridge;
mod instance;

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use pullwright_protocol::abi::CLOSED;
pub use pullwright_protocol::abi::{ABI_VERSION, Host};

use crate::server::ToolServer;
use instance::Instance;

/// Makes a native library of a tool server: the expression is evaluated for every instance that is
/// opened. The crate needs `crate-type = ["cdylib"]`.
///
/// ```
/// use std::sync::Arc;
/// use pullwright_tool_kit::{ToolServer, export_library};
///
/// export_library!(ToolServer::new("words", "1.0.0", Arc::new(())));
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export_library {
    ($server:expr) => {
        /// The version of the plugin interface.
        #[unsafe(no_mangle)]
        pub extern "C" fn pullwright_plugin_abi_version() -> u32 {
            $crate::library::ABI_VERSION
        }

        /// Starts an instance.
        ///
        /// # Safety
        /// As the plugin interface says.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn pullwright_plugin_open(
            host: *const $crate::library::Host,
        ) -> *mut ::std::ffi::c_void {
            // SAFETY: passed on to the caller.
            unsafe { $crate::library::open(host, || $server) }
        }

        /// Offers a message to an instance.
        ///
        /// # Safety
        /// As the plugin interface says.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn pullwright_plugin_send(
            instance: *mut ::std::ffi::c_void,
            message: *const u8,
            length: usize,
        ) -> ::std::ffi::c_int {
            // SAFETY: passed on to the caller.
            unsafe { $crate::library::send(instance, message, length) }
        }

        /// Ends an instance.
        ///
        /// # Safety
        /// As the plugin interface says.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn pullwright_plugin_close(instance: *mut ::std::ffi::c_void) {
            // SAFETY: passed on to the caller.
            unsafe { $crate::library::close(instance) }
        }
    };
}

/// Starts an instance; null if it cannot.
///
/// # Safety
/// `host` is valid for the call, and what it holds until [`close`] has returned.
pub unsafe fn open<S: Send + Sync + 'static>(
    host: *const Host,
    server: impl FnOnce() -> ToolServer<S>,
) -> *mut c_void {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: passed on to the caller.
        let host = unsafe { host.as_ref() }?;
        Instance::start(*host, server())
    }));
    match opened {
        Ok(Some(instance)) => Box::into_raw(Box::new(instance)).cast(),
        _ => std::ptr::null_mut(),
    }
}

/// Offers a message to an instance.
///
/// # Safety
/// `instance` is one of [`open`] that is not closed, and `message` valid for `length` bytes.
pub unsafe fn send(instance: *mut c_void, message: *const u8, length: usize) -> c_int {
    let sent = catch_unwind(|| {
        // SAFETY: passed on to the caller.
        let instance = unsafe { instance.cast::<Instance>().as_ref() }?;
        let message = match length {
            0 => &[],
            // SAFETY: passed on to the caller.
            length => unsafe { std::slice::from_raw_parts(message, length) },
        };
        Some(instance.send(message))
    });
    sent.ok().flatten().unwrap_or(CLOSED)
}

/// Ends an instance: nothing of the host is called any more once this has returned.
///
/// # Safety
/// `instance` is one of [`open`], and closed once.
pub unsafe fn close(instance: *mut c_void) {
    if instance.is_null() {
        return;
    }
    let closed = catch_unwind(|| {
        // SAFETY: it was made by `open` from a box, and the caller gives it up.
        unsafe { Box::from_raw(instance.cast::<Instance>()) }.stop();
    });
    drop(closed);
}
