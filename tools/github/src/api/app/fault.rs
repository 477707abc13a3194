//! Why there is no token for a repository.

use std::fmt;

/// Why a GitHub App gets no token for a repository, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppFault {
    /// It is not installed where it is needed.
    #[error(
        "the GitHub App {id} is not installed on {repo}, or there is no such repository: install it \
         on that account, with access to this repository"
    )]
    NotInstalled { id: String, repo: String },
    /// The owner has switched it off.
    #[error(
        "the installation of the GitHub App {id} on {owner} is suspended: whoever suspended it must \
         end that, in the settings of {owner} under the installed GitHub Apps"
    )]
    Suspended { id: String, owner: String },
    /// The owner has not granted what is needed.
    #[error(
        "the GitHub App {id} was not granted {}: add it to the permissions of the App, and have the \
         owner of {owner} approve it", list(.lacking)
    )]
    NotGranted {
        id: String,
        owner: String,
        lacking: Vec<Permission>,
    },
    /// Nothing that we sign can be valid.
    #[error(
        "this machine's clock is {seconds} s {} GitHub's, so GitHub takes nothing that is signed \
         here: set the clock", if *.ahead { "ahead of" } else { "behind" }
    )]
    Clock { seconds: u64, ahead: bool },
    /// Id and key do not belong together.
    #[error(
        "GitHub does not take us for the App {id} ({said}): the key in {key_source} must be one of \
         that App, and not have been deleted"
    )]
    Unknown {
        id: String,
        key_source: String,
        said: String,
    },
    /// A token was refused that was granted a moment ago.
    #[error(
        "GitHub refuses the token that it has just given the App for {repo}: see whether the App \
         was uninstalled, and whether the API's address is the right one"
    )]
    Refused { repo: String },
    /// The signature could not be made.
    #[error("the App's key cannot sign: {reason}: create another key in the settings of the App")]
    Signing { reason: String },
}

/// A permission, such as `contents: write`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Permission {
    pub(crate) name: &'static str,
    pub(crate) level: &'static str,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.level)
    }
}

fn list(permissions: &[Permission]) -> String {
    let each: Vec<String> = permissions.iter().map(Permission::to_string).collect();
    each.join(", ")
}
