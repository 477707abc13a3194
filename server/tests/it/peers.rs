//! Real peers: an emulator of GitHub, a model's streaming server, MCP clients and servers, the MCP
//! conformance suite and git over HTTP.
//!
//! `.ci/peers/install` installs them; `PULLWRIGHT_PEERS` says where. A test begins with
//! `let Some(peers) = Peers::find("what is tested") else { return };`.

pub(crate) mod aimock;
pub(crate) mod conformance;
pub(crate) mod emulate;
pub(crate) mod forge;
pub(crate) mod front;
#[path = "../../../tools/source/tests/it/http_backend.rs"]
pub(crate) mod http_backend;
pub(crate) mod inspector;
pub(crate) mod openapi;
pub(crate) mod process;
pub(crate) mod python;
pub(crate) mod rest;
