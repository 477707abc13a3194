//! The real peers, shared with the tests of whole runs.

#[path = "../../../../server/tests/it/peers/aimock.rs"]
pub(crate) mod aimock;
#[path = "../../../../server/tests/it/peers/emulate.rs"]
pub(crate) mod emulate;
#[path = "../../../../server/tests/it/peers/forge.rs"]
pub(crate) mod forge;
#[path = "../../../source/tests/it/http_backend.rs"]
pub(crate) mod http_backend;
#[path = "../../../../server/tests/it/peers/inspector.rs"]
pub(crate) mod inspector;
#[path = "../../../../server/tests/it/peers/process.rs"]
pub(crate) mod process;
#[path = "../../../../server/tests/it/peers/rest.rs"]
pub(crate) mod rest;
