//! The stages of a run that need GitHub, and the requests by which they are known.

use super::http::Request;

/// A request that a run cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// What the token may do.
    Preflight,
    /// Where the App is installed.
    Installation,
    /// The App's token for the repository.
    Token,
    /// Which branches there are.
    CloneAsk,
    /// The objects.
    Fetch,
    /// Whether the branch is there already.
    PushLook,
    /// Whether git may push.
    PushAsk,
    /// The push itself.
    Push,
    /// Whether the pull request is there already.
    PullLook,
    PullCreate,
    PullUpdate,
}

impl Stage {
    /// The stage of a request; `is_fetched` says whether the repository's objects were fetched before.
    pub(super) fn of(request: &Request, is_fetched: bool) -> Option<Self> {
        let method = request.method.as_str();
        let Some(route) = request.api_route() else {
            return Self::of_git(request, is_fetched);
        };
        let parts: Vec<&str> = route.trim_start_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", ["repos", _, _]) => Some(Self::Preflight),
            ("GET", ["repos", _, _, "installation"]) => Some(Self::Installation),
            ("POST", ["app", "installations", _, "access_tokens"]) => Some(Self::Token),
            ("GET", ["repos", _, _, "pulls"]) => Some(Self::PullLook),
            ("POST", ["repos", _, _, "pulls"]) => Some(Self::PullCreate),
            ("PATCH", ["repos", _, _, "pulls", _]) => Some(Self::PullUpdate),
            _ => None,
        }
    }

    fn of_git(request: &Request, is_fetched: bool) -> Option<Self> {
        let asks_for = |service: &str| request.query.contains(&format!("service={service}"));
        match request.method.as_str() {
            "GET" if asks_for("git-receive-pack") => Some(Self::PushAsk),
            "GET" if asks_for("git-upload-pack") && is_fetched => Some(Self::PushLook),
            "GET" if asks_for("git-upload-pack") => Some(Self::CloneAsk),
            "POST" if request.path.ends_with("/git-receive-pack") => Some(Self::Push),
            "POST" if request.fetches() => Some(Self::Fetch),
            _ => None,
        }
    }

    /// The stage in words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Installation => "installation",
            Self::Token => "token",
            Self::CloneAsk => "clone, asking",
            Self::Fetch => "clone, fetching",
            Self::PushLook => "push, looking",
            Self::PushAsk => "push, asking",
            Self::Push => "push",
            Self::PullLook => "pull request, looking",
            Self::PullCreate => "pull request, creating",
            Self::PullUpdate => "pull request, updating",
        }
    }

    pub(super) fn is_of_git(self) -> bool {
        matches!(
            self,
            Self::CloneAsk | Self::Fetch | Self::PushLook | Self::PushAsk | Self::Push
        )
    }

    /// Whether the request has an effect, so that its answer can be lost after it.
    pub(super) fn has_effect(self) -> bool {
        matches!(
            self,
            Self::Token | Self::Push | Self::PullCreate | Self::PullUpdate
        )
    }

    /// Whether the API is asked for work that is done, so that an outage of it is waited for.
    pub(super) fn may_wait_for_the_api(self) -> bool {
        matches!(self, Self::PullLook | Self::PullCreate | Self::PullUpdate)
    }

    /// Whether the run works as a GitHub App.
    pub(super) fn is_of_an_app(self) -> bool {
        matches!(self, Self::Installation | Self::Token)
    }

    /// Whether a pull request of the run's branch is open before the run.
    pub(super) fn has_pull_request(self) -> bool {
        self == Self::PullUpdate
    }
}
