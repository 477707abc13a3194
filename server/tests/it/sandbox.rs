//! The local sandbox's launcher, which is the real executable: what it promises to the server.

pub(crate) mod bench;
mod death;
mod ordinary_user;
mod processes;
mod refusals;
mod view;
