//! What a repository is called by git, and what by a forge.

use pullwright_protocol::forge::ForgeRepository;

use crate::source::Repository;

/// As a forge knows a repository: everything before its name is the owner, since some have groups in
/// groups. None for a local path, and for a URL without an owner. What git reaches by ssh, a forge knows by
/// https at the same host.
pub(crate) fn known_to_a_forge(repository: &Repository) -> Option<ForgeRepository> {
    let (name, owner) = repository.path.split_last()?;
    if owner.is_empty() {
        return None;
    }
    let origin = match &repository.host {
        Some(host) if is_ssh(repository) => format!("https://{host}"),
        _ => repository.origin.clone()?,
    };
    Some(ForgeRepository {
        origin,
        owner: owner.join("/"),
        name: name.clone(),
    })
}

/// The URL that git knows a repository of a forge by.
pub(crate) fn git_url(repository: &ForgeRepository) -> String {
    let ForgeRepository {
        origin,
        owner,
        name,
    } = repository;
    format!("{origin}/{owner}/{name}.git")
}

/// Whether git reaches it by ssh.
pub(crate) fn is_ssh(repository: &Repository) -> bool {
    let origin = repository.origin.as_ref();
    origin.is_some_and(|origin| origin.starts_with("ssh://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(path: &[&str]) -> Option<ForgeRepository> {
        known_to_a_forge(&Repository {
            url: String::new(),
            origin: Some("https://gitlab.example".to_owned()),
            host: Some("gitlab.example".to_owned()),
            path: path.iter().map(|part| (*part).to_owned()).collect(),
        })
    }

    #[test]
    fn groups_in_groups_are_the_owner() {
        let owner_and_name =
            |path: &[&str]| repository(path).map(|found| (found.owner, found.name));
        let found = |owner: &str, name: &str| Some((owner.to_owned(), name.to_owned()));
        assert_eq!(owner_and_name(&["owner", "name"]), found("owner", "name"));
        assert_eq!(
            owner_and_name(&["group", "sub", "project"]),
            found("group/sub", "project")
        );
        assert_eq!(owner_and_name(&["name"]), None);
        assert_eq!(owner_and_name(&[]), None);
    }

    #[test]
    fn what_git_reaches_by_ssh_is_known_by_https() {
        let by_ssh = Repository {
            url: "git@github.com:owner/name".to_owned(),
            origin: Some("ssh://github.com".to_owned()),
            host: Some("github.com".to_owned()),
            path: vec!["owner".to_owned(), "name".to_owned()],
        };
        assert!(is_ssh(&by_ssh));
        assert_eq!(
            known_to_a_forge(&by_ssh).unwrap().origin,
            "https://github.com"
        );
    }
}
