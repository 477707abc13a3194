//! The arrows between the rooms, read from `cargo metadata`. Anything not listed is forbidden.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{CargoOpt, DependencyKind, MetadataCommand};

const PREFIX: &str = "pullwright-";

/// What each room may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("link", &["protocol"]),
    ("core", &["protocol", "link"]),
    ("providers", &["protocol"]),
    ("tool-kit", &["protocol"]),
    ("fs", &["tool-kit"]),
    ("bash", &["tool-kit"]),
    ("git", &["tool-kit"]),
    ("github", &["tool-kit"]),
    ("word-count", &["tool-kit"]),
    ("sandbox", &["core", "protocol"]),
    ("source", &["core", "protocol"]),
    ("modal-double", &["core", "protocol", "sandbox"]),
];

/// Crates that core must never depend on directly: it knows no vendor, no HTTP and no git.
const NEVER_IN_CORE: &[&str] = &[
    "reqwest",
    "axum",
    "hyper",
    "octocrab",
    "git2",
    "tonic",
    "sqlx",
    "nix",
    "opentelemetry",
];

/// Crates that may stand in one room only, and that room.
const ONE_ROOM: &[(&str, &[&str])] = &[
    ("rmcp", &["core", "link", "tool-kit"]),
    ("octocrab", &["github"]),
    ("reqwest", &["link", "providers", "sandbox", "pullwright"]),
    ("tonic", &["sandbox", "modal-double"]),
    ("opentelemetry", &["pullwright"]),
    ("libloading", &["link"]),
    ("sqlx", &["pullwright"]),
    ("axum", &["pullwright", "tool-kit", "modal-double"]),
    ("git2", &["git", "source"]),
];

#[test]
fn every_room_depends_only_on_what_it_may() {
    let rooms = dependencies();
    for (room, allowed) in ARROWS {
        let found: BTreeSet<&str> = rooms[*room]
            .iter()
            .filter_map(|name| name.strip_prefix(PREFIX))
            .collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        let forbidden: Vec<_> = found.difference(&allowed).collect();
        assert!(
            forbidden.is_empty(),
            "{room} must not depend on {forbidden:?}"
        );
    }
    let known: BTreeSet<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    let unlisted: Vec<_> = rooms
        .keys()
        .filter(|room| !known.contains(room.as_str()))
        .collect();
    assert_eq!(unlisted, ["pullwright"], "a new room needs its arrows here");
}

#[test]
fn core_knows_no_vendor() {
    let core = &dependencies()["core"];
    for name in NEVER_IN_CORE {
        assert!(!core.contains(*name), "core must not depend on {name}");
    }
}

#[test]
fn heavy_crates_stay_in_their_rooms() {
    for (room, dependencies) in dependencies() {
        for (name, rooms) in ONE_ROOM {
            let allowed = rooms.contains(&room.as_str());
            assert!(
                allowed || !dependencies.contains(*name),
                "{room} must not depend on {name}"
            );
        }
    }
}

#[test]
fn the_named_packages_are_used() {
    let all: BTreeSet<String> = dependencies().into_values().flatten().collect();
    for name in [
        "tokio",
        "serde",
        "serde_json",
        "schemars",
        "jsonrpsee",
        "axum",
        "reqwest",
        "octocrab",
        "git2",
        "toml",
        "tracing",
    ] {
        assert!(all.contains(name), "{name} is used nowhere");
    }
}

/// The direct dependencies of each room, without those of its tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        .no_deps()
        .exec()
        .expect("cargo metadata");
    let rooms = metadata.packages.into_iter().map(|package| {
        let name = package.name.to_string();
        let room = name.strip_prefix(PREFIX).unwrap_or(&name).to_owned();
        let normal = package
            .dependencies
            .into_iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal)
            .map(|dependency| dependency.name)
            .collect();
        (room, normal)
    });
    rooms.collect()
}
