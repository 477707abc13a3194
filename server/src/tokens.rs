//! The tokens that callers send for the code hosts of their runs: in memory while a run is here, and sealed in
//! the store where there is a key for that.

mod held;
mod keys;

pub(crate) use held::HeldTokens;
pub use keys::{BadKeys, TokenKeys};
