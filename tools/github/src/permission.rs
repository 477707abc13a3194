//! What somebody may do in a repository.

use std::sync::Arc;

use pullwright_tool_kit::protocol::forge::{ForgePermission, ForgeUser};
use pullwright_tool_kit::{Call, Output, Refusal};
use serde::Deserialize;

use crate::api::Reason;
use crate::github::{Github, structured, until_cancelled};

/// GitHub's longest login, with the suffix of managed users, is shorter.
const MAX_LOGIN_CHARS: usize = 100;

#[derive(Deserialize)]
struct Permission {
    /// `admin`, `write`, `read` or `none`; roles between them count as the one below.
    permission: String,
}

impl Github {
    /// Whether somebody may push. Whoever GitHub does not know may not.
    pub(crate) async fn permission(
        self: Arc<Self>,
        user: ForgeUser,
        call: Call,
    ) -> Result<Output, Refusal> {
        let repo = self.repo(&user.repository)?;
        let login = user.login;
        check_login(&login)?;
        until_cancelled(&call, async {
            let route = repo.path(format_args!("/collaborators/{login}/permission"));
            let found = self.api.get::<Permission>(&repo, &route).await;
            let can_write = match found {
                Ok(found) => matches!(&*found.permission, "admin" | "maintain" | "write"),
                Err(fault) if fault.reason() == Some(&Reason::NotFound) => false,
                Err(fault) => {
                    let doing = format!("asking what {login} may do in {repo}");
                    return self.failed(&doing, &fault);
                }
            };
            structured(&ForgePermission { can_write })
        })
        .await
    }
}

fn check_login(login: &str) -> Result<(), Refusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if (1..=MAX_LOGIN_CHARS).contains(&login.len()) && login.bytes().all(plain) {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "`{}` is not a person's login on GitHub",
        login.escape_debug()
    )))
}
