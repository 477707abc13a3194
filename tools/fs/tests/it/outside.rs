//! What lies outside the workspace stays as it is, and the workspace itself may be missing.

use std::fs;

use serde_json::json;

use crate::parallel::call;

/// A hard link shares its bytes with names outside, so a change must not go through it.
#[tokio::test]
async fn an_edit_does_not_write_through_a_hard_link() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("workspace");
    fs::create_dir(&root).unwrap();
    let (outside, inside) = (temp.path().join("store.js"), root.join("module.js"));
    fs::write(&outside, "one\n").unwrap();
    fs::hard_link(&outside, &inside).unwrap();
    let server = pullwright_fs::server(root);
    let edit = json!({"path": "module.js", "old_str": "one", "new_str": "two"});
    call(&server, "edit", edit).await.unwrap();
    assert_eq!(fs::read_to_string(inside).unwrap(), "two\n");
    assert_eq!(fs::read_to_string(outside).unwrap(), "one\n");
}

#[tokio::test]
async fn a_missing_workspace_is_named_and_not_made() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("workspace");
    let server = pullwright_fs::server(root.clone());
    for (tool, arguments) in [
        ("read", json!({"path": "a"})),
        ("write", json!({"path": "a/b", "content": "x"})),
        ("list", json!({})),
        ("grep", json!({"pattern": "x"})),
    ] {
        let refusal = call(&server, tool, arguments).await.unwrap_err().0;
        let named = format!(
            "the workspace {}: No such file or directory",
            root.display()
        );
        assert!(refusal.contains(&named), "{refusal}");
    }
    assert!(!root.exists());
    fs::create_dir(&root).unwrap();
    let made = json!({"path": "a/b", "content": "x"});
    call(&server, "write", made).await.unwrap();
}
