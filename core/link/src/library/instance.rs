//! One instance of a plugin, from its start to its end.

use std::ffi::{c_int, c_void};
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, PoisonError};

use pullwright_protocol::abi::{CLOSED, Host};

use super::inbox::Inbox;
use super::load::Symbols;

/// An open instance. Messages are sent one at a time, and none after it is closed.
pub(super) struct Instance {
    symbols: Arc<Symbols>,
    /// Nothing once it is closed.
    pointer: Mutex<Option<Pointer>>,
}

struct Pointer(*mut c_void);

// SAFETY: the interface says that an instance may be used from any thread, one at a time.
unsafe impl Send for Pointer {}

/// Ends an instance when dropped. That may take time, so it happens on a thread of its own.
pub struct LibraryGuard {
    instance: Arc<Instance>,
    inbox: Arc<Inbox>,
}

impl Instance {
    /// Starts an instance whose messages go to `inbox`; nothing if the plugin refuses.
    pub(super) fn open(symbols: Arc<Symbols>, inbox: &Arc<Inbox>) -> Option<Self> {
        // Never freed: a plugin that breaks its promise and calls after its end must not meet freed
        // memory. It is some hundred bytes for each instance.
        let context = Arc::into_raw(Arc::clone(inbox)).cast_mut().cast();
        let host = Host {
            context,
            on_message,
            on_closed,
        };
        // SAFETY: the struct is valid for the call, and what it holds for ever.
        let pointer = unsafe { (symbols.open)(&raw const host) };
        (!pointer.is_null()).then(|| Self {
            symbols,
            pointer: Mutex::new(Some(Pointer(pointer))),
        })
    }

    /// Offers a message: taken, full or closed, as the interface names them.
    pub(super) fn send(&self, message: &[u8]) -> c_int {
        let pointer = self.pointer.lock().unwrap_or_else(PoisonError::into_inner);
        match &*pointer {
            // SAFETY: the instance is open, which the lock keeps so, and the message valid for the call.
            Some(Pointer(instance)) => unsafe {
                (self.symbols.send)(*instance, message.as_ptr(), message.len())
            },
            None => CLOSED,
        }
    }

    fn close(&self) {
        let mut pointer = self.pointer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Pointer(instance)) = pointer.take() {
            // SAFETY: it is open, and nobody else can close it or send to it any more.
            unsafe { (self.symbols.close)(instance) };
        }
    }
}

impl LibraryGuard {
    pub(super) fn new(instance: Arc<Instance>, inbox: Arc<Inbox>) -> Self {
        Self { instance, inbox }
    }
}

impl Drop for LibraryGuard {
    fn drop(&mut self) {
        self.inbox.close();
        let instance = Arc::clone(&self.instance);
        // A plugin that never comes back from its end costs this thread, and nothing else.
        let ending = std::thread::Builder::new().name("plugin-close".to_owned());
        if let Err(error) = ending.spawn(move || instance.close()) {
            tracing::warn!(%error, "a plugin cannot be closed and stays open");
        }
    }
}

/// # Safety
/// `context` must be one of [`Instance::open`], and `message` valid for `length` bytes.
unsafe extern "C" fn on_message(context: *mut c_void, message: *const u8, length: usize) -> c_int {
    if message.is_null() && length > 0 {
        return CLOSED;
    }
    let taken = catch_unwind(|| {
        // SAFETY: the context is an inbox that is never freed.
        let inbox = unsafe { &*context.cast::<Inbox>() };
        if length == 0 {
            return inbox.push(&[]);
        }
        // SAFETY: the plugin says so of its message, for the call.
        inbox.push(unsafe { std::slice::from_raw_parts(message, length) })
    });
    taken.unwrap_or(CLOSED)
}

/// # Safety
/// `context` must be one of [`Instance::open`].
unsafe extern "C" fn on_closed(context: *mut c_void) {
    // SAFETY: the context is an inbox that is never freed.
    let closed = catch_unwind(|| unsafe { &*context.cast::<Inbox>() }.close());
    drop(closed);
}
