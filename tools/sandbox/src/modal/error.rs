//! What goes wrong with Modal.

use pullwright_core::sandbox::SandboxError;
use tonic::{Code, Status};

use super::KIND;
use super::account::{AccountError, REMEDY};
use super::retry::is_passing;

/// Why something could not be done at Modal.
#[derive(Debug, thiserror::Error)]
pub enum ModalError {
    /// There is no account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Modal said no, or nothing that can be used, after all attempts.
    #[error("Modal's {call} failed: {} ({:?})", said(status), status.code())]
    Call {
        /// The call.
        call: &'static str,
        /// The last answer.
        status: Box<Status>,
        /// Whether it may have done its work all the same.
        is_open: bool,
    },
    /// An address cannot be used.
    #[error("Modal named an address that cannot be used: {0}")]
    Address(String),
    /// The image could not be built.
    #[error("Modal could not build the image: {reason}{}", with_log(log))]
    Image {
        /// What Modal says.
        reason: String,
        /// The end of the build's log.
        log: String,
    },
    /// The executable that goes into the image cannot be used.
    #[error("{0}")]
    ToolHost(String),
    /// An upload failed.
    #[error("the tool host could not be uploaded to Modal: {0}")]
    Upload(String),
    /// It is not there any more.
    #[error("the sandbox ended: {0}")]
    Ended(String),
}

impl ModalError {
    pub(super) fn call(call: &'static str) -> impl FnOnce(Status) -> Self {
        move |status| Self::Call {
            call,
            is_open: is_passing(status.code()),
            status: Box::new(status),
        }
    }

    /// Whether the same thing may go well another time.
    pub(super) fn is_for_now(&self) -> bool {
        let Self::Call { status, .. } = self else {
            return false;
        };
        let code = status.code();
        is_passing(code) || matches!(code, Code::ResourceExhausted | Code::Unauthenticated)
    }

    /// What the run is told.
    pub(crate) fn into_sandbox_error(self) -> SandboxError {
        let reason = self.to_string();
        let refused = |remedy: &str| SandboxError::Refused {
            kind: KIND,
            reason: reason.clone(),
            remedy: remedy.to_owned(),
        };
        match self {
            Self::Account(_) => refused(REMEDY),
            Self::Image { .. } => refused("mend `image` and `dockerfile` in `[sandbox.modal]`"),
            Self::ToolHost(_) => refused(
                "build a static executable with `RUSTFLAGS=\"-C target-feature=+crt-static\" cargo build \
                 --release --target x86_64-unknown-linux-gnu` and name it in `[sandbox.modal] tool_host`",
            ),
            Self::Call { status, .. } => match status.code() {
                Code::Unauthenticated | Code::PermissionDenied => refused(REMEDY),
                Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => {
                    refused("mend `[sandbox.modal]`, or tell us: Modal may have changed")
                }
                _ => SandboxError::Lost { kind: KIND, reason },
            },
            Self::Address(_) | Self::Upload(_) | Self::Ended(_) => {
                SandboxError::Lost { kind: KIND, reason }
            }
        }
    }
}

fn said(status: &Status) -> String {
    let source = std::error::Error::source(status).map(ToString::to_string);
    match (status.message(), source) {
        // Nobody answered: the words are those that users of Modal's own clients know.
        (message, Some(_)) if status.code() == Code::Unavailable => {
            format!("Could not connect to the Modal server. {message}")
        }
        ("", Some(cause)) => cause,
        ("", None) => "it gave no reason".to_owned(),
        (message, _) => message.to_owned(),
    }
}

fn with_log(log: &str) -> String {
    match log.trim() {
        "" => String::new(),
        log => format!("; its log ends so:\n{log}"),
    }
}
