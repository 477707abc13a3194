//! Whatever is done to the files, the exported tree is the one git itself computes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;

use crate::repository::{Fixture, chmod, write};

#[derive(Clone, Debug)]
enum Edit {
    Write(String, String),
    Remove(String),
    Executable(String),
    Link(String, String),
    Ignore(String, Vec<String>),
}

fn path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "a.o", "out", "a-b", "ab", "B"]);
    prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"))
}

fn pattern() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a", "/a", "a/", "*.o", "out", "/out/", "!a", "!*.o", "a/b", "**/b", "a/**", "a/**/b", "?",
        "[a-b]", "!/a/b", "*", "!out/", "a*", "# a", "\\a", "b ", "[!a]", "**", "*/b", "!b/a/",
    ])
    .prop_map(str::to_owned)
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        5 => (path(), "[a-c\r\n]{0,6}").prop_map(|(path, text)| Edit::Write(path, text)),
        2 => path().prop_map(Edit::Remove),
        1 => path().prop_map(Edit::Executable),
        1 => (path(), path()).prop_map(|(path, target)| Edit::Link(path, target)),
        2 => (prop::option::of(path()), prop::collection::vec(pattern(), 1..4))
            .prop_map(|(folder, lines)| Edit::Ignore(folder.unwrap_or_default(), lines)),
    ]
}

fn apply(root: &Path, edit: &Edit) {
    match edit {
        Edit::Write(path, text) => {
            make_room(root, path);
            write(root, path, text);
        }
        Edit::Remove(path) => remove(&root.join(path)),
        Edit::Executable(path)
            if root
                .join(path)
                .symlink_metadata()
                .is_ok_and(|file| file.is_file()) =>
        {
            chmod(&root.join(path), 0o755);
        }
        Edit::Executable(_) => {}
        Edit::Link(path, target) => {
            make_room(root, path);
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            symlink(target, root.join(path)).unwrap();
        }
        Edit::Ignore(folder, lines) => {
            let path = Path::new(folder).join(".gitignore");
            make_room(root, path.to_str().unwrap());
            write(root, path.to_str().unwrap(), &lines.join("\n"));
        }
    }
}

/// Removes what is at the path, and any file in place of a folder above it.
fn make_room(root: &Path, path: &str) {
    let mut at = root.to_owned();
    for name in Path::new(path) {
        at.push(name);
        if !at.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            remove(&at);
        }
    }
    remove(&root.join(path));
}

fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_exported_tree_is_the_one_git_computes(
        before in prop::collection::vec(edit(), 0..12),
        after in prop::collection::vec(edit(), 0..12),
    ) {
        let fixture = Fixture::build(|root| before.iter().for_each(|edit| apply(root, edit)));
        after.iter().for_each(|edit| apply(&fixture.root(), edit));
        prop_assert_eq!(fixture.export_and_fetch().tree, fixture.tree_by_git());
    }
}
