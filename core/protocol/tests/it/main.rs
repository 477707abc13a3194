//! Tests of the wire types.

#![expect(
    clippy::unwrap_used,
    reason = "a broken expectation fails the test, in a helper too"
)]

mod frames;
mod native;
mod outcomes;
mod requests;
