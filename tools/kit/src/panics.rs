//! A tool that panics answers its call, too: nobody waits for it until a time limit.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use crate::call::{Output, Refusal};

/// What `call` answers, or that it panicked. What a panic leaves half done in a tool's state is for
/// the tool to see, as with a poisoned lock.
pub(crate) async fn answered(
    tool: &str,
    call: impl Future<Output = Result<Output, Refusal>>,
) -> Result<Output, Refusal> {
    match AssertUnwindSafe(call).catch_unwind().await {
        Ok(answer) => answer,
        Err(panic) => {
            let words = words_of(panic.as_ref());
            tracing::error!(tool, words, "a tool panicked");
            Err(Refusal::new(format!(
                "`{tool}` broke down, and may have done a part of its work: {words}. This is a defect \
                 of the tool; look at what it was to change, and go on without it"
            )))
        }
    }
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let fixed = panic.downcast_ref::<&str>().copied();
    let made = || panic.downcast_ref::<String>().map(String::as_str);
    fixed.or_else(made).unwrap_or("it said nothing")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::{Map, json};

    use crate::{Call, Output, ToolDef, ToolServer};

    /// Divides 100.
    #[derive(Deserialize, JsonSchema)]
    struct Divided {
        by: u32,
    }

    fn server() -> ToolServer<()> {
        let divide =
            |_, Divided { by }, _: Call| async move { Ok(Output::text((100 / by).to_string())) };
        ToolServer::new("test", "1", Arc::new(())).tool(ToolDef::new("divide"), divide)
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let by = |by: u32| Map::from_iter([("by".to_owned(), json!(by))]);
        let server = server();
        let refused = server.call("divide", by(0), Call::detached()).await;
        let refused = refused.unwrap_err().0;
        assert!(refused.contains("`divide` broke down"), "{refused}");
        assert!(refused.contains("attempt to divide by zero"), "{refused}");
        let answered = server.call("divide", by(5), Call::detached()).await;
        assert_eq!(answered, Ok(Output::text("20")));
    }
}
