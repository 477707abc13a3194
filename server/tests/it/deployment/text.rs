//! The files, read.

use std::collections::BTreeMap;
use std::path::Path;

use yaml_rust2::{Yaml, YamlLoader};

pub(super) const DEPLOYMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/deployment");

pub(super) fn read(name: &str) -> String {
    let path = Path::new(DEPLOYMENT).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The services of the compose file, each with what it shares.
pub(super) fn services() -> BTreeMap<String, Yaml> {
    let mut documents = YamlLoader::load_from_str(&read("compose.yaml")).expect("YAML");
    let document = documents.pop().expect("a document");
    let services = document["services"].as_hash().expect("services");
    let services = services.iter().map(|(name, service)| {
        let name = name.as_str().expect("a name");
        (name.to_owned(), merged(service))
    });
    services.collect()
}

/// With the keys of `<<`, which its own outweigh.
fn merged(service: &Yaml) -> Yaml {
    let own = service.as_hash().expect("a service");
    let shared = service["<<"].as_hash().cloned().unwrap_or_default();
    let own = own.iter().map(|(key, value)| (key.clone(), value.clone()));
    Yaml::Hash(shared.into_iter().chain(own).collect())
}

/// A mapping or a list of strings, with variables replaced. What has no value is empty.
pub(super) fn strings(value: &Yaml, variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    let text = |value: &Yaml| {
        let text = value.as_str().unwrap_or_default().to_owned();
        variables.iter().fold(text, |text, (name, value)| {
            let Some((before, rest)) = text.split_once(&format!("${{{name}")) else {
                return text;
            };
            let (_, after) = rest.split_once('}').expect("a closed variable");
            format!("{before}{value}{after}")
        })
    };
    match value {
        Yaml::Hash(entries) => entries
            .iter()
            .map(|(key, value)| (key.as_str().expect("a key").to_owned(), text(value)))
            .collect(),
        Yaml::Array(entries) => (0..)
            .zip(entries)
            .map(|(at, value): (usize, _)| (at.to_string(), text(value)))
            .collect(),
        _ => BTreeMap::new(),
    }
}

/// The directives of a unit.
pub(super) fn directives(unit: &str) -> BTreeMap<&str, &str> {
    let lines = unit.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).collect()
}

pub(super) fn json_list(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}
