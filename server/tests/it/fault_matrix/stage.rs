//! The stages of a run that need GitHub, and the requests by which they are known.

use super::http::Request;
use crate::peers::emulate::ROBOT;

/// A request that a run makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// What the token may do.
    Preflight,
    /// What the rules of branches are, which a run can do without.
    Rules,
    /// Where the App is installed.
    Installation,
    /// The App's token for the repository.
    Token,
    /// Another token of the App, since the one that the run began with has run out when the work is done.
    TokenToPush,
    /// Another one, since the one that was pushed with has run out.
    TokenToPropose,
    /// Which branches there are.
    CloneAsk,
    /// The objects.
    Fetch,
    /// Whether there is a fork already.
    ForkLook,
    /// The fork.
    ForkMake,
    /// Whether the new fork is ready.
    ForkWait,
    /// Whether the branch is there already.
    PushLook,
    /// Whether git may push.
    PushAsk,
    /// The push itself.
    Push,
    /// The push to a fork.
    ForkPush,
    /// The commit that GitHub makes, and nobody else may.
    Commit,
    /// The commit that GitHub makes, or else we do.
    CommitOrPush,
    /// Whether the pull request is there already.
    PullLook,
    PullCreate,
    PullUpdate,
    /// The pull request from a fork.
    ForkPropose,
    /// Whether a label is there.
    LabelLook,
    /// The labels of the pull request.
    Label,
    /// Who is to see to it, and who is to look at it.
    People,
    /// Whether the pull request of a run is open to which something more is said.
    FollowLook,
    /// Git, for a run whose server died while its model worked.
    ResumeWork,
    /// Git, for a run whose server died when it was about to push.
    ResumePush,
}

/// How far the run of a case has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// The repository's objects were fetched.
    pub(super) is_fetched: bool,
    /// There is a fork.
    pub(super) is_forked: bool,
    /// A branch was pushed.
    pub(super) is_pushed: bool,
    /// What comes before the stage is done: the run that is followed, or the server that died.
    pub(super) is_armed: bool,
}

impl Stage {
    /// Whether the request is one of this stage.
    pub(super) fn takes(self, request: &Request, progress: Progress) -> bool {
        let Some(route) = request.api_route() else {
            return self.takes_of_git(request, progress);
        };
        let parts: Vec<&str> = route.trim_start_matches('/').split('/').collect();
        match (self, request.method.as_str(), parts.as_slice()) {
            (Self::ForkLook, "GET", ["user"] | ["repos", ROBOT, _]) => !progress.is_forked,
            (Self::ForkWait, "GET", ["repos", ROBOT, _]) => progress.is_forked,
            (Self::ForkWait, "GET", ["repos", ROBOT, _, "git", "ref", ..])
            | (Self::ForkMake, "POST", ["repos", _, _, "forks"])
            | (Self::Preflight, "GET", ["repos", _, _])
            | (Self::Rules, "GET", ["repos", _, _, "rules" | "branches" | "rulesets", ..])
            | (Self::Installation, "GET", ["repos", _, _, "installation"])
            | (Self::Token, "POST", ["app", "installations", _, "access_tokens"])
            | (Self::PullLook, "GET", ["repos", _, _, "pulls"])
            | (Self::PullCreate | Self::ForkPropose, "POST", ["repos", _, _, "pulls"])
            | (Self::PullUpdate, "PATCH", ["repos", _, _, "pulls", _])
            | (Self::Commit | Self::CommitOrPush, "POST", ["graphql"])
            | (Self::LabelLook, "GET", ["repos", _, _, "labels", _])
            | (Self::Label, "POST", ["repos", _, _, "issues", _, "labels"])
            | (Self::People, "POST", ["repos", _, _, "issues", _, "assignees"])
            | (Self::People, "POST", ["repos", _, _, "pulls", _, "requested_reviewers"]) => true,
            (Self::TokenToPush, "POST", ["app", "installations", _, "access_tokens"]) => {
                progress.is_fetched && !progress.is_pushed
            }
            (Self::TokenToPropose, "POST", ["app", "installations", _, "access_tokens"]) => {
                progress.is_pushed
            }
            (Self::FollowLook, "GET", ["repos", _, _, "pulls"]) => progress.is_armed,
            _ => false,
        }
    }

    fn takes_of_git(self, request: &Request, progress: Progress) -> bool {
        let asks = |service: &str| {
            request.method == "GET" && request.query.contains(&format!("service={service}"))
        };
        match self {
            Self::CloneAsk => asks("git-upload-pack") && !progress.is_fetched,
            Self::PushLook => asks("git-upload-pack") && progress.is_fetched,
            Self::ResumeWork | Self::ResumePush => asks("git-upload-pack") && progress.is_armed,
            Self::PushAsk => asks("git-receive-pack"),
            Self::Push | Self::ForkPush => request.pushes(),
            Self::Fetch => request.fetches(),
            _ => false,
        }
    }

    /// Whether the server is to die before this request is answered.
    pub(super) fn ends_with(self, request: &Request, progress: Progress) -> bool {
        self.is_resumed() && !progress.is_armed && Self::PushAsk.takes(request, progress)
    }

    /// The stage in words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Rules => "rules",
            Self::Installation => "installation",
            Self::Token => "token",
            Self::TokenToPush => "token, renewing before the push",
            Self::TokenToPropose => "token, renewing after the push",
            Self::CloneAsk => "clone, asking",
            Self::Fetch => "clone, fetching",
            Self::ForkLook => "fork, looking",
            Self::ForkMake => "fork, making",
            Self::ForkWait => "fork, waiting",
            Self::ForkPush => "fork, pushing",
            Self::ForkPropose => "fork, proposing",
            Self::PushLook => "push, looking",
            Self::PushAsk => "push, asking",
            Self::Push => "push",
            Self::Commit => "commit, made by the host",
            Self::CommitOrPush => "commit, made by the host if it can",
            Self::PullLook => "pull request, looking",
            Self::PullCreate => "pull request, creating",
            Self::PullUpdate => "pull request, updating",
            Self::LabelLook => "details, looking for a label",
            Self::Label => "details, labelling",
            Self::People => "details, asking people",
            Self::FollowLook => "follow-up, looking for the pull request",
            Self::ResumeWork => "resume, asking git for work under way",
            Self::ResumePush => "resume, asking git before the push",
        }
    }

    pub(super) fn is_of_git(self) -> bool {
        matches!(
            self,
            Self::CloneAsk
                | Self::Fetch
                | Self::PushLook
                | Self::PushAsk
                | Self::Push
                | Self::ForkPush
                | Self::ResumeWork
                | Self::ResumePush
        )
    }

    /// Whether it is played with one fault of each class, since what it does with them is done in one place with
    /// what other stages do.
    pub(super) fn is_played_by_classes(self) -> bool {
        self.is_of_a_fork()
            || self.has_details()
            || self.is_resumed()
            || self.is_renewed()
            || matches!(self, Self::CommitOrPush | Self::FollowLook | Self::Rules)
    }

    /// Whether the request has an effect, so that its answer can be lost after it.
    pub(super) fn has_effect(self) -> bool {
        matches!(
            self,
            Self::Token
                | Self::ForkMake
                | Self::Push
                | Self::ForkPush
                | Self::Commit
                | Self::CommitOrPush
                | Self::PullCreate
                | Self::PullUpdate
                | Self::ForkPropose
                | Self::Label
                | Self::People
        )
    }

    /// Whether the API is asked for work that is done, so that an outage of it is waited for.
    pub(super) fn may_wait_for_the_api(self) -> bool {
        matches!(
            self,
            Self::Commit | Self::PullLook | Self::PullCreate | Self::PullUpdate
        )
    }

    /// Whether git is asked for work that is done, so that an outage of it is waited for.
    pub(super) fn may_wait_for_git(self) -> bool {
        matches!(self, Self::PushAsk | Self::Push | Self::ResumePush)
    }

    /// Whether the run works as a GitHub App.
    pub(super) fn is_of_an_app(self) -> bool {
        matches!(self, Self::Installation | Self::Token) || self.is_renewed()
    }

    /// Whether the App's tokens have run out when they are needed once more.
    pub(super) fn is_renewed(self) -> bool {
        matches!(self, Self::TokenToPush | Self::TokenToPropose)
    }

    /// Whether the change is proposed from a fork.
    pub(super) fn is_of_a_fork(self) -> bool {
        matches!(
            self,
            Self::ForkLook | Self::ForkMake | Self::ForkWait | Self::ForkPush | Self::ForkPropose
        )
    }

    /// Whether GitHub makes the commit, as the configuration has it.
    pub(super) fn verified(self) -> Option<&'static str> {
        match self {
            Self::Commit => Some("always"),
            Self::CommitOrPush => Some("when_possible"),
            _ => None,
        }
    }

    /// Whether the pull request gets labels and people.
    pub(super) fn has_details(self) -> bool {
        matches!(self, Self::LabelLook | Self::Label | Self::People)
    }

    /// Whether the run's first server dies.
    pub(super) fn is_resumed(self) -> bool {
        matches!(self, Self::ResumeWork | Self::ResumePush)
    }

    /// Whether a pull request of the run's branch is open before the run.
    pub(super) fn has_pull_request(self) -> bool {
        self == Self::PullUpdate
    }
}
