//! How long GitHub is waited for.

use std::time::Duration;

use super::ConfigError;
use super::section::Section;
use super::tool::ToolLink;

/// How long GitHub is waited for; its tool server has defaults for what is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForgeWaits {
    /// The time that it has to answer one request.
    pub request: Option<Duration>,
    /// How long a call waits for a limit to be over. A run that would wait longer is put aside meanwhile.
    pub limit: Option<Duration>,
}

const REQUEST: &str = "request_timeout_sec";
const LIMIT: &str = "longest_wait_sec";

impl ForgeWaits {
    pub(super) fn read(section: &Section<'_>, link: &ToolLink) -> Result<Self, ConfigError> {
        let present = [REQUEST, LIMIT].into_iter().find(|key| section.has(key));
        if let Some(present) = present
            && *link != ToolLink::Builtin("github".to_owned())
        {
            return Err(section.error(present, "it goes with `builtin = \"github\"` only"));
        }
        Ok(Self {
            request: section.duration_sec(REQUEST)?,
            limit: section.duration_sec(LIMIT)?,
        })
    }
}
