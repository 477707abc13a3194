//! The provider as a real child process: this test binary, started again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use pullwright_link::{ChildCommand, ChildGuard, LinePeer};
use pullwright_providers::{ScriptedProvider, rpc_module, serve_stdio};

/// Names the script to the child; without it [`serve_as_child`] is no child and does nothing.
const SCRIPT_VARIABLE: &str = "PULLWRIGHT_TEST_SCRIPT";

/// Starts this binary as a provider plugin that plays `script`.
pub(crate) fn start(script: &Path) -> (LinePeer, ChildGuard) {
    let process = ChildCommand {
        name: "provider".into(),
        program: std::env::current_exe().unwrap().into(),
        args: ["child::serve_as_child", "--exact", "--nocapture"]
            .map(Into::into)
            .into(),
        env: BTreeMap::from([(SCRIPT_VARIABLE.into(), script.into())]),
        cwd: None,
    }
    .spawn()
    .unwrap();
    // The test runner's greeting on standard output counts as junk lines, which a peer skips.
    (
        LinePeer::new("provider", process.stdin, process.stdout),
        process.guard,
    )
}

#[tokio::test]
async fn serve_as_child() {
    let Some(script) = std::env::var_os(SCRIPT_VARIABLE) else {
        return;
    };
    let provider = ScriptedProvider::load("mine", Path::new(&script)).unwrap();
    serve_stdio(rpc_module(Arc::new(provider))).await.unwrap();
}
