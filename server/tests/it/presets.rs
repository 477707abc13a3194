//! Rows of `plugins.toml` that name a vendor.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tokio::process::Command;

const PULLWRIGHT: &str = env!("CARGO_BIN_EXE_pullwright");

async fn pullwright(arguments: &[&str], rows: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugins.toml");
    let text = format!(
        "[agent]\nprovider = \"mine\"\n\n[repositories]\nhosts = [\"example.com\"]\n{rows}"
    );
    std::fs::write(&path, text).unwrap();
    run(arguments, &path).await
}

async fn run(arguments: &[&str], config: &Path) -> Output {
    let mut command = Command::new(PULLWRIGHT);
    command.args(arguments).arg("--config").arg(config);
    for variable in ["DEEPSEEK_API_KEY", "OPENAI_API_KEY", "GATEWAY_KEY"] {
        command.env_remove(variable);
    }
    command.output().await.unwrap()
}

#[tokio::test]
async fn a_name_and_a_model_are_a_row() {
    let rows = "[providers.mine]\npreset = \"deepseek\"\nmodel = \"deepseek-v4-pro\"\n\
                [providers.gateway]\npreset = \"openai\"\nbase_url = \"https://gateway.example/v1\"\n\
                env_key = \"GATEWAY_KEY\"\nmodel = \"gpt-6-sol\"\n\
                [providers.local]\npreset = \"llama.cpp\"\nmodel = \"qwen\"\n";
    let output = pullwright(&["providers", "list", "--json"], rows).await;
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let said = |row: usize| (rows[row]["link"].clone(), rows[row]["missing"].to_string());
    assert_eq!(
        said(0),
        (
            "openai (openai_responses)".into(),
            r#"["GATEWAY_KEY"]"#.into()
        )
    );
    assert_eq!(said(1), ("llama.cpp (openai_chat)".into(), "[]".into()));
    assert_eq!(
        said(2),
        (
            "deepseek (openai_chat)".into(),
            r#"["DEEPSEEK_API_KEY"]"#.into()
        )
    );
}

#[tokio::test]
async fn a_mistake_is_told_with_the_file() {
    let cases = [
        (
            "preset = \"deepseak\"",
            "providers.mine: there is no preset `deepseak`; there are: anthropic, ",
        ),
        (
            "preset = \"deepseek\"\nquirks = { no_image = true }",
            "providers.mine.quirks: unknown field `no_image`",
        ),
        (
            "preset = \"deepseek\"\nquirks = { call_ids = \"ten\" }",
            "providers.mine.quirks: unknown variant `ten`",
        ),
    ];
    for (row, expected) in cases {
        let rows = format!("[providers.mine]\n{row}\nmodel = \"m\"\n");
        let output = pullwright(&["providers", "list"], &rows).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{row}");
        assert!(
            said.contains(expected) && said.contains("plugins.toml"),
            "{said}"
        );
    }
}
