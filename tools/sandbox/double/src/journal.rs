//! What was called, for tests to read.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tonic::metadata::{KeyAndValueRef, MetadataMap};

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// Its headers that are text.
    pub headers: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Vec<Call>>);

impl Journal {
    pub(crate) fn add(&self, name: &str, metadata: &MetadataMap) {
        let headers = metadata.iter().filter_map(|pair| match pair {
            KeyAndValueRef::Ascii(key, value) => {
                Some((key.to_string(), value.to_str().ok()?.to_owned()))
            }
            KeyAndValueRef::Binary(..) => None,
        });
        let call = Call {
            name: name.to_owned(),
            headers: headers.collect(),
        };
        self.lock().push(call);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
