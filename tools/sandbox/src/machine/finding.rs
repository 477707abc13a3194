//! One line of the report.

use serde::Serialize;

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The thing.
    pub name: String,
    /// Whether it is as it should be.
    pub state: State,
    /// What that means for a run.
    pub meaning: String,
    /// What a person can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Whether something is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Ok,
    /// In part.
    Partial,
    /// It is not.
    No,
}

impl Finding {
    /// It is as it should be.
    pub fn ok(name: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state: State::Ok,
            meaning: meaning.into(),
            remedy: None,
        }
    }

    /// It is so in part.
    pub fn partial(name: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self {
            state: State::Partial,
            ..Self::ok(name, meaning)
        }
    }

    /// It is not.
    pub fn no(name: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self {
            state: State::No,
            ..Self::ok(name, meaning)
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl State {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Partial => "partial",
            Self::No => "no",
        }
    }
}
