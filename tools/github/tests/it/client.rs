//! The tools as the framework calls them: over MCP.

use std::time::Duration;

use pullwright_github::{GithubConfig, HttpLimits, Secret, server};
use pullwright_tool_kit::protocol::forge::ForgeRepository;
use pullwright_tool_kit::protocol::tool::REPOSITORY_META_KEY;
use pullwright_tool_kit::serve;
use rmcp::RoleClient;
use rmcp::model::{CallToolRequestParams, CallToolResult, RequestMetaObject, Tool};
use rmcp::service::{RunningService, ServiceExt};
use rmcp::transport::async_rw::AsyncRwTransport;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) const TOKEN: &str = "ghp_sesame0123456789";
pub(crate) const ORIGIN: &str = "https://github.com";
const PIPE_BYTES: usize = 64 * 1024;

pub(crate) struct Client(RunningService<RoleClient, ()>);

/// A tool server for the API at `url`, which waits for next to nothing.
pub(crate) fn config(url: &str) -> GithubConfig {
    GithubConfig {
        api_url: url.parse().unwrap(),
        token: Some(Secret::new(TOKEN)),
        token_env: "MY_TOKEN".to_owned(),
        limits: HttpLimits {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
            retry_delay: Duration::from_millis(1),
            longest_wait: Duration::from_secs(2),
            write_pause: Duration::ZERO,
        },
        ..GithubConfig::default()
    }
}

pub(crate) fn repository() -> ForgeRepository {
    ForgeRepository {
        origin: ORIGIN.to_owned(),
        owner: "octo".to_owned(),
        name: "demo".to_owned(),
    }
}

impl Client {
    pub(crate) async fn start(config: GithubConfig) -> Self {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let (read, write) = tokio::io::split(theirs);
        tokio::spawn(serve(server(config).unwrap(), read, write));
        let (read, write) = tokio::io::split(ours);
        Self(
            ().serve(AsyncRwTransport::new_client(read, write))
                .await
                .unwrap(),
        )
    }

    /// A call of the pipeline: no repository in its `_meta`, the arguments name it.
    pub(crate) async fn pipeline<T: DeserializeOwned>(
        &self,
        tool: &'static str,
        args: &impl Serialize,
    ) -> Result<T, String> {
        let result = self.call(tool, args, None).await;
        if result.is_error == Some(true) {
            return Err(text_of(&result));
        }
        Ok(serde_json::from_value(result.structured_content.unwrap()).unwrap())
    }

    /// A call of the model, on the run's repository.
    pub(crate) async fn model(&self, tool: &'static str, args: Value) -> Result<String, String> {
        let result = self.call(tool, &args, Some(repository())).await;
        match result.is_error {
            Some(true) => Err(text_of(&result)),
            _ => Ok(text_of(&result)),
        }
    }

    pub(crate) async fn call(
        &self,
        tool: &'static str,
        args: &impl Serialize,
        repository: Option<ForgeRepository>,
    ) -> CallToolResult {
        let Value::Object(args) = serde_json::to_value(args).unwrap() else {
            panic!("arguments are an object");
        };
        let mut params = CallToolRequestParams::new(tool).with_arguments(args);
        if let Some(repository) = repository {
            let mut meta = RequestMetaObject::new();
            let value = serde_json::to_value(repository).unwrap();
            meta.0.insert(REPOSITORY_META_KEY.to_owned(), value);
            params.meta = Some(meta);
        }
        self.0.call_tool(params).await.unwrap()
    }

    pub(crate) async fn tools(&self) -> Vec<Tool> {
        self.0.list_all_tools().await.unwrap()
    }
}

fn text_of(result: &CallToolResult) -> String {
    let texts = result.content.iter().filter_map(|block| block.as_text());
    texts.map(|text| text.text.as_str()).collect()
}
