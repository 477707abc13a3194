//! How changes are published: on which commit, as whose commits, and how they are proposed.

use pullwright_protocol::Publish;

use super::ConfigError;
use super::section::{Section, nearest};

/// What becomes of a change whose base branch has moved while the run was under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MovedBase {
    /// It is put on the branch's newest commit.
    #[default]
    Rebase,
    /// The branch's newest commit is merged into it.
    Merge,
    /// It stays on the commit that it was made on.
    Keep,
}

/// What a pull request gets beside its description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullRequestConfig {
    /// Whether each is opened as a draft.
    pub draft: bool,
    /// Its labels.
    pub labels: Vec<String>,
    /// The people whose review is asked for.
    pub reviewers: Vec<String>,
    /// The teams whose review is asked for, without their organisation.
    pub team_reviewers: Vec<String>,
    /// The people who are to see to it.
    pub assignees: Vec<String>,
}

/// Whether the code host makes the commits itself, through its API, and so vouches for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verified {
    /// They are made here and pushed.
    #[default]
    Off,
    /// It makes those that it can make; the others are pushed, and the run says so.
    WhenPossible,
    /// What it cannot make is not pushed.
    Always,
}

/// Whose commits are pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitConfig {
    /// The name of author and committer.
    pub name: String,
    /// Their email address.
    pub email: String,
    /// Who has part in each commit, as `Name <mail>`.
    pub co_authors: Vec<String>,
    /// Whether the code host makes them; their author is then the account of its token, and no name or address from
    /// here.
    pub verified: Verified,
}

/// Who made a commit that nobody in particular made.
const NAME: &str = "Pullwright";
const EMAIL: &str = "pullwright@users.noreply.github.com";

/// More of anybody or anything on one pull request is a mistake, and GitHub takes no more.
const MAX_EACH: usize = 15;
/// GitHub's longest name of a label, in characters; accounts and teams have shorter ones.
const MAX_NAME_CHARS: usize = 50;
/// A longer line is no name or address.
const MAX_IDENTITY_CHARS: usize = 200;

pub(super) const PULL_REQUEST_KEYS: &[&str] = &[
    "draft",
    "labels",
    "reviewers",
    "team_reviewers",
    "assignees",
];
pub(super) const COMMIT_KEYS: &[&str] = &["name", "email", "co_authors", "verified"];

impl PullRequestConfig {
    pub(super) fn read(root: &Section<'_>) -> Result<Self, ConfigError> {
        let section = root.section("pull_request", PULL_REQUEST_KEYS)?;
        let accounts = |key| section.names(key, is_account, "the name of an account or a team");
        Ok(Self {
            draft: section.boolean("draft")?.unwrap_or(false),
            labels: section.names("labels", is_label, "a label")?,
            reviewers: accounts("reviewers")?,
            team_reviewers: accounts("team_reviewers")?,
            assignees: accounts("assignees")?,
        })
    }
}

impl CommitConfig {
    pub(super) fn read(root: &Section<'_>) -> Result<Self, ConfigError> {
        let section = root.section("commit", COMMIT_KEYS)?;
        let name = section.non_empty("name")?;
        let email = section.non_empty("email")?;
        if name.as_deref().is_some_and(|name| !is_person(name)) {
            let message = "it is not a name: one line, without `<` and `>`";
            return Err(section.error("name", message));
        }
        if email.as_deref().is_some_and(|email| !is_email(email)) {
            let message = "it is not an email address, such as bot@example.com";
            return Err(section.error("email", message));
        }
        let co_authors = section.strings("co_authors")?.unwrap_or_default();
        if let Some(bad) = co_authors.iter().find(|line| !is_identity(line)) {
            let message = format!("`{}` is not `Name <mail>`", bad.escape_debug());
            return Err(section.error("co_authors", message));
        }
        Ok(Self {
            name: name.unwrap_or_else(|| NAME.to_owned()),
            email: email.unwrap_or_else(|| EMAIL.to_owned()),
            co_authors,
            verified: section.verified("verified")?,
        })
    }

    /// A code host makes no merges, which a run would find out when it has nothing left to do but to push one.
    pub(super) fn check(
        &self,
        root: &Section<'_>,
        moved_base: MovedBase,
    ) -> Result<(), ConfigError> {
        if self.verified != Verified::Always || moved_base != MovedBase::Merge {
            return Ok(());
        }
        let message = "`always` cannot be kept with `moved_base = \"merge\"` in [repositories], since a code host \
                       makes commits with one parent; write `moved_base = \"rebase\"`";
        Err(root
            .section("commit", COMMIT_KEYS)?
            .error("verified", message))
    }
}

impl Section<'_> {
    pub(super) fn moved_base(&self, key: &str) -> Result<MovedBase, ConfigError> {
        let all = [
            ("rebase", MovedBase::Rebase),
            ("merge", MovedBase::Merge),
            ("keep", MovedBase::Keep),
        ];
        self.chosen(key, &all)
    }

    fn verified(&self, key: &str) -> Result<Verified, ConfigError> {
        let all = [
            ("off", Verified::Off),
            ("when_possible", Verified::WhenPossible),
            ("always", Verified::Always),
        ];
        self.chosen(key, &all)
    }

    pub(super) fn publish(&self, key: &str) -> Result<Publish, ConfigError> {
        let all: Vec<_> = Publish::ALL
            .iter()
            .map(|way| (way.as_str(), *way))
            .collect();
        self.chosen(key, &all)
    }

    /// The value that is written by its name; the usual one if absent.
    pub(super) fn chosen<T: Copy + Default>(
        &self,
        key: &str,
        all: &[(&'static str, T)],
    ) -> Result<T, ConfigError> {
        let Some(written) = self.string(key)? else {
            return Ok(T::default());
        };
        let found = all.iter().find(|(name, _)| *name == written);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let advice = nearest(&written, all.iter().map(|(name, _)| *name));
            self.error(
                key,
                format!("`{}` is not known; {advice}", written.escape_debug()),
            )
        })
    }

    /// A short list of names, none of them twice.
    fn names(
        &self,
        key: &str,
        is_one: impl Fn(&str) -> bool,
        what: &str,
    ) -> Result<Vec<String>, ConfigError> {
        let names = self.strings(key)?.unwrap_or_default();
        if names.len() > MAX_EACH {
            let message = format!("there are {}; at most {MAX_EACH} are taken", names.len());
            return Err(self.error(key, message));
        }
        let mut seen: Vec<&String> = Vec::new();
        for name in &names {
            if !is_one(name) {
                let message = format!("`{}` is not {what}", name.escape_debug());
                return Err(self.error(key, message));
            }
            if seen.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                return Err(self.error(key, format!("`{name}` is there twice")));
            }
            seen.push(name);
        }
        Ok(names)
    }
}

fn is_label(name: &str) -> bool {
    let length = name.chars().count();
    (1..=MAX_NAME_CHARS).contains(&length)
        && name.trim() == name
        && !name.contains(char::is_control)
}

fn is_account(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=MAX_NAME_CHARS).contains(&name.len()) && name.bytes().all(plain)
}

fn is_identity(line: &str) -> bool {
    let parts = line
        .strip_suffix('>')
        .and_then(|line| line.split_once(" <"));
    parts.is_some_and(|(name, email)| is_person(name) && is_email(email))
}

fn is_person(name: &str) -> bool {
    let plain = |c: char| !c.is_control() && c != '<' && c != '>';
    !name.trim().is_empty() && name.chars().count() <= MAX_IDENTITY_CHARS && name.chars().all(plain)
}

fn is_email(email: &str) -> bool {
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '<' && c != '>';
    let parts = email.split_once('@');
    let has_parts = parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    has_parts && email.chars().count() <= MAX_IDENTITY_CHARS && email.chars().all(plain)
}
