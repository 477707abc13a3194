//! Edits of one file side by side, and symlinks that change under way.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pullwright_tool_kit::{Call, Output, Refusal, ToolServer};
use serde_json::{Value, json};

use crate::tree;

const EDITS: usize = 64;

pub(crate) async fn call(
    server: &ToolServer<pullwright_fs::Files>,
    tool: &str,
    arguments: Value,
) -> Result<Output, Refusal> {
    let arguments = arguments.as_object().unwrap().clone();
    server.call(tool, arguments, Call::detached()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_edit_loses_another() {
    let temp = tempfile::tempdir().unwrap();
    let lines = (0..EDITS).map(|n| format!("<old {n}>\n"));
    fs::write(temp.path().join("a.txt"), lines.collect::<String>()).unwrap();
    symlink("a.txt", temp.path().join("link.txt")).unwrap();
    let server = pullwright_fs::server(temp.path().to_owned());
    let edits = (0..EDITS).map(|n| {
        let server = server.clone();
        // The same file by two names.
        let path = if n % 2 == 0 { "a.txt" } else { "link.txt" };
        let (old, new) = (format!("<old {n}>"), format!("<new {n}>"));
        let arguments = json!({"path": path, "old_str": old, "new_str": new});
        tokio::spawn(async move { call(&server, "edit", arguments).await.unwrap() })
    });
    for edit in edits.collect::<Vec<_>>() {
        edit.await.unwrap();
    }
    let expected: String = (0..EDITS).map(|n| format!("<new {n}>\n")).collect();
    assert_eq!(
        fs::read_to_string(temp.path().join("a.txt")).unwrap(),
        expected
    );
    assert_eq!(
        tree::snapshot(temp.path()).len(),
        2,
        "no temporary file is left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_make_one_file_exactly_one_does() {
    let temp = tempfile::tempdir().unwrap();
    let server = pullwright_fs::server(temp.path().to_owned());
    let edits = (0..EDITS).map(|n| {
        let server = server.clone();
        let arguments = json!({"path": "new/a.txt", "old_str": "", "new_str": format!("by {n}")});
        tokio::spawn(async move { call(&server, "edit", arguments).await.is_ok() })
    });
    let mut made = 0;
    for edit in edits.collect::<Vec<_>>() {
        made += usize::from(edit.await.unwrap());
    }
    assert_eq!(made, 1);
    assert_eq!(
        tree::snapshot(temp.path()).len(),
        2,
        "the folder and the file"
    );
}

#[tokio::test]
async fn a_search_that_nobody_waits_for_ends() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("a.txt"), "needle\n").unwrap();
    let server = pullwright_fs::server(temp.path().to_owned());
    for (tool, pattern) in [("grep", "needle"), ("glob", "*")] {
        let arguments = json!({"pattern": pattern}).as_object().unwrap().clone();
        let call = Call::detached();
        call.cancelled().cancel();
        let answer = format!("{:?}", server.call(tool, arguments, call).await);
        assert!(answer.contains("[stopped after"), "{answer}");
    }
}

/// A folder turns into a symlink that leads out and back again, all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_symlink_is_not_followed_out_in_a_race() {
    let temp = tempfile::tempdir().unwrap();
    let (root, secret) = (temp.path().join("workspace"), temp.path().join("secret"));
    for folder in [&root.join("real"), &secret] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(root.join("real/a.txt"), "public\n").unwrap();
    fs::write(secret.join("a.txt"), "secret\n").unwrap();
    fs::write(secret.join("only-outside.txt"), "secret\n").unwrap();
    symlink("../secret", root.join("out")).unwrap();
    let swapping = Arc::new(AtomicBool::new(true));
    let swapper = std::thread::spawn({
        let (root, swapping) = (root.clone(), Arc::clone(&swapping));
        move || swap(&root, &swapping)
    });

    let server = pullwright_fs::server(root.clone());
    for n in 0..500 {
        let calls = [
            ("read", json!({"path": "real/a.txt"})),
            (
                "grep",
                json!({"pattern": "secret", "output_mode": "content"}),
            ),
            ("glob", json!({"pattern": "only-*"})),
            ("list", json!({"path": "real"})),
            (
                "write",
                json!({"path": "real/a.txt", "content": format!("public {n}\n")}),
            ),
            (
                "write",
                json!({"path": format!("real/{n}.txt"), "content": "public\n"}),
            ),
        ];
        for (tool, arguments) in calls {
            let answer = call(&server, tool, arguments).await;
            let text = format!("{answer:?}");
            assert!(
                !text.contains("secret\\n") && !text.contains("only-outside"),
                "{text}"
            );
        }
    }
    swapping.store(false, Ordering::Relaxed);
    swapper.join().unwrap();
    assert_eq!(
        fs::read_to_string(secret.join("a.txt")).unwrap(),
        "secret\n"
    );
    assert_eq!(tree::snapshot(&secret).len(), 2, "nothing was made outside");
}

fn swap(root: &Path, swapping: &AtomicBool) {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let (real, out) = (root.join("real"), root.join("out"));
    while swapping.load(Ordering::Relaxed) {
        renameat_with(CWD, &real, CWD, &out, RenameFlags::EXCHANGE).unwrap();
    }
}
