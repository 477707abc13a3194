//! Who starts a run.

/// Who starts a run. Without API keys all callers are the same one, which has no name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The name of its API key: what it starts belongs to that name.
    pub name: Option<String>,
    /// How many of its runs may be under way at the same time.
    pub max_concurrent: Option<usize>,
}
