//! Repositories, sandboxes and servers that mean harm: nothing of theirs runs on the control plane, nothing outside
//! is read, and what is refused is told in a sentence.
//!
//! Each case lays a trap: a program that whatever is attacked would start, and a file outside that it would read.

mod base;
mod bundles;
mod liar;
mod odd_names;
mod plant;
mod sandboxes;
mod servers;
mod trap;
