//! Finds out how a project installs its dependencies and checks itself.

use std::collections::BTreeSet;

use serde_json::Value;

/// The commands of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Commands {
    /// Installs dependencies, before the baseline.
    pub(crate) setup: Vec<String>,
    /// Checks, before and after the work.
    pub(crate) checks: Vec<String>,
}

/// The files whose content [`detect`] looks at.
pub(crate) const MANIFESTS: &[&str] = &["package.json", "Makefile", "makefile", "GNUmakefile"];

/// What the repository's own files say, by the conventions of its languages. `read` gives the
/// content of a file among [`MANIFESTS`].
pub(crate) fn detect(paths: &[String], read: impl Fn(&str) -> Option<String>) -> Commands {
    let paths: BTreeSet<&str> = paths.iter().map(String::as_str).collect();
    let mut found = Commands::default();
    if paths.contains("Cargo.toml") {
        found.checks.push("cargo test".to_owned());
    }
    if let Some(manifest) = read("package.json") {
        add_node(&mut found, &paths, &manifest);
    }
    if paths.contains("go.mod") {
        found.checks.push("go test ./...".to_owned());
    }
    if is_python_tested_by_pytest(&paths) {
        found.checks.push("python3 -m pytest -q".to_owned());
    }
    // A Makefile often only wraps the commands above.
    if found.checks.is_empty() {
        let makefile = MANIFESTS[1..].iter().find_map(|name| read(name));
        let target = makefile.as_deref().and_then(make_target);
        found
            .checks
            .extend(target.map(|target| format!("make {target}")));
    }
    found
}

fn add_node(found: &mut Commands, paths: &BTreeSet<&str>, manifest: &str) {
    let manager = if paths.contains("pnpm-lock.yaml") {
        found
            .setup
            .push("pnpm install --frozen-lockfile".to_owned());
        "pnpm"
    } else if paths.contains("yarn.lock") {
        found
            .setup
            .push("yarn install --frozen-lockfile".to_owned());
        "yarn"
    } else {
        if paths.contains("package-lock.json") {
            found.setup.push("npm ci".to_owned());
        }
        "npm"
    };
    let manifest: Value = serde_json::from_str(manifest).unwrap_or_default();
    let test = manifest.pointer("/scripts/test").and_then(Value::as_str);
    // What `npm init` writes is no test.
    if test.is_some_and(|script| !script.contains("no test specified")) {
        found.checks.push(format!("{manager} test"));
    }
}

fn is_python_tested_by_pytest(paths: &BTreeSet<&str>) -> bool {
    let is_test = |path: &&str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        name.ends_with(".py") && (name.starts_with("test_") || name.ends_with("_test.py"))
    };
    let configured = ["pytest.ini", "conftest.py", "tests/conftest.py", "tox.ini"];
    configured.iter().any(|path| paths.contains(path)) || paths.iter().any(is_test)
}

fn make_target(makefile: &str) -> Option<&'static str> {
    ["test", "check"].into_iter().find(|target| {
        makefile.lines().any(|line| {
            let rest = line.strip_prefix(target).map(str::trim_start);
            rest.is_some_and(|rest| rest.starts_with(':') && !rest.starts_with(":="))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Commands {
        let paths: Vec<String> = files.iter().map(|(path, _)| (*path).to_owned()).collect();
        detect(&paths, |name| {
            let file = files.iter().find(|(path, _)| *path == name)?;
            Some(file.1.to_owned())
        })
    }

    #[test]
    fn each_language_by_its_own_convention() {
        type Files = &'static [(&'static str, &'static str)];
        type Expected = &'static [&'static str];
        let table: &[(Files, Expected, Expected)] = &[
            (&[("Cargo.toml", "")], &[], &["cargo test"]),
            (&[("go.mod", "")], &[], &["go test ./..."]),
            (&[("src/test_words.py", "")], &[], &["python3 -m pytest -q"]),
            (&[("Makefile", "all:\n\ntest: all\n")], &[], &["make test"]),
            (
                &[("Makefile", "test := 1\ncheck :\n")],
                &[],
                &["make check"],
            ),
            (
                &[
                    ("package.json", r#"{"scripts":{"test":"vitest run"}}"#),
                    ("yarn.lock", ""),
                ],
                &["yarn install --frozen-lockfile"],
                &["yarn test"],
            ),
            (
                &[(
                    "package.json",
                    r#"{"scripts":{"test":"echo \"Error: no test specified\""}}"#,
                )],
                &[],
                &[],
            ),
            (
                &[("Cargo.toml", ""), ("Makefile", "test:\n")],
                &[],
                &["cargo test"],
            ),
            (&[("README.md", "")], &[], &[]),
        ];
        for (files, setup, checks) in table {
            let found = found(files);
            assert_eq!(found.setup, *setup, "{files:?}");
            assert_eq!(found.checks, *checks, "{files:?}");
        }
    }

    #[test]
    fn a_broken_manifest_is_no_check() {
        assert_eq!(found(&[("package.json", "{")]), Commands::default());
    }
}
