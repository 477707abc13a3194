//! Rows of the configuration.

use pullwright_providers::{OpenError, ProviderSettings, open};
use url::Url;

fn row(wire: &str) -> ProviderSettings {
    ProviderSettings {
        name: "mine".into(),
        wire_api: wire.into(),
        ..ProviderSettings::default()
    }
}

fn anthropic() -> ProviderSettings {
    ProviderSettings {
        env_key: Some("MY_KEY".into()),
        model: Some("claude-opus-5-5".into()),
        ..row("anthropic_messages")
    }
}

fn with_key(name: &str) -> Option<String> {
    (name == "MY_KEY").then(|| "sk-secret\n".into())
}

fn refusal(settings: ProviderSettings, environment: fn(&str) -> Option<String>) -> String {
    let opened: Result<_, OpenError> = open(settings, environment);
    opened.err().expect("it opened").to_string()
}

#[test]
fn an_unknown_wire_format_is_told_what_there_is() {
    let error = refusal(row("telepathy"), |_| None);
    assert_eq!(
        error,
        "providers.mine: unknown wire_api `telepathy`; there are: anthropic_messages, gemini, ollama, openai_chat, openai_responses, scripted"
    );
}

#[test]
fn a_scripted_row_needs_its_script() {
    let error = refusal(row("scripted"), |_| None);
    assert_eq!(
        error,
        "providers.mine: `script` is missing; name the script file"
    );
    let missing = ProviderSettings {
        script: Some("/no/such.toml".into()),
        ..row("scripted")
    };
    let error = refusal(missing, |_| None);
    assert!(
        error.starts_with("providers.mine: cannot read the script /no/such.toml: "),
        "{error}"
    );
}

#[test]
fn a_missing_key_is_named_by_its_variable() {
    let expected = "providers.mine: the environment variable MY_KEY is not set; put the key there";
    assert_eq!(refusal(anthropic(), |_| None), expected);
    assert_eq!(refusal(anthropic(), |_| Some(" ".into())), expected);
}

#[test]
fn a_key_that_cannot_be_one_is_not_repeated() {
    let error = refusal(anthropic(), |_| Some("sk-\u{7}secret".into()));
    assert_eq!(error, "providers.mine: MY_KEY holds characters no key has");
}

#[test]
fn missing_settings_are_named() {
    let without_key = ProviderSettings {
        env_key: None,
        ..anthropic()
    };
    assert_eq!(
        refusal(without_key, with_key),
        "providers.mine: `env_key` is missing; name the variable with the key"
    );
    let without_model = ProviderSettings {
        model: None,
        ..anthropic()
    };
    assert_eq!(
        refusal(without_model, with_key),
        "providers.mine: `model` is missing; name the model"
    );
}

#[test]
fn a_key_never_travels_in_the_clear() {
    let cases = [
        (
            "http://api.example.com/",
            "`base_url` http://api.example.com/ would send the key in the clear; use https",
        ),
        (
            "https://user:pw@example.com/",
            "`base_url` https://example.com/ holds credentials; use `env_key`",
        ),
        (
            "ftp://example.com/",
            "`base_url` ftp://example.com/ is not an https URL",
        ),
        (
            "http://example.com/v1?api-key=secret#secret",
            "`base_url` http://example.com/v1 would send the key in the clear; use https",
        ),
        (
            "mailto:secret@example.com",
            "`base_url` mailto:… is not an https URL",
        ),
    ];
    for (url, expected) in cases {
        let settings = ProviderSettings {
            base_url: Some(Url::parse(url).unwrap()),
            ..anthropic()
        };
        assert_eq!(
            refusal(settings, with_key),
            format!("providers.mine: {expected}")
        );
    }
}

#[test]
fn a_complete_row_opens() {
    for url in [
        "https://gateway.example.com/anthropic",
        "http://127.0.0.1:4000",
        "http://[::1]:1/",
        "http://localhost",
    ] {
        let settings = ProviderSettings {
            base_url: Some(Url::parse(url).unwrap()),
            ..anthropic()
        };
        let info = open(settings, with_key)
            .unwrap_or_else(|error| panic!("{error}"))
            .info();
        assert_eq!(
            (
                info.provenance.provider.as_str(),
                info.provenance.model.as_str()
            ),
            ("mine", "claude-opus-5-5")
        );
    }
    assert!(open(anthropic(), with_key).is_ok());
}

fn gemini() -> ProviderSettings {
    ProviderSettings {
        model: Some("gemini-3-pro-preview".into()),
        wire_api: "gemini".into(),
        ..anthropic()
    }
}

fn ollama(url: &str) -> ProviderSettings {
    ProviderSettings {
        model: Some("qwen3:4b".into()),
        base_url: Some(Url::parse(url).unwrap()),
        ..row("ollama")
    }
}

#[test]
fn a_gemini_row_needs_its_key_and_its_model() {
    let info = open(gemini(), with_key)
        .unwrap_or_else(|error| panic!("{error}"))
        .info();
    assert_eq!(info.provenance.wire, "gemini");
    let expected = "providers.mine: the environment variable MY_KEY is not set; put the key there";
    assert_eq!(refusal(gemini(), |_| None), expected);
    let without_model = ProviderSettings {
        model: None,
        ..gemini()
    };
    let expected = "providers.mine: `model` is missing; name the model";
    assert_eq!(refusal(without_model, with_key), expected);
    let expected = "providers.mine: MY_KEY holds characters no key has";
    assert_eq!(refusal(gemini(), |_| Some("very\nsecret".into())), expected);
}

#[test]
fn an_ollama_row_needs_no_key_and_always_has_a_context() {
    let open = |settings| open(settings, with_key).unwrap_or_else(|error| panic!("{error}"));
    for url in [
        "http://127.0.0.1:11434",
        "http://big-machine.example:11434",
        "https://ollama.example",
    ] {
        let info = open(ollama(url)).info();
        assert_eq!(
            (info.context_tokens, info.max_output_tokens),
            (Some(32_768), Some(8192))
        );
    }
    let without_url = ProviderSettings {
        base_url: None,
        context_tokens: Some(100_000),
        ..ollama("http://unused")
    };
    assert_eq!(open(without_url).info().context_tokens, Some(100_000));
}

#[test]
fn an_ollama_key_never_travels_in_the_clear() {
    let with_key_row = ProviderSettings {
        env_key: Some("MY_KEY".into()),
        ..ollama("http://big-machine.example/")
    };
    let expected = "providers.mine: `base_url` http://big-machine.example/ would send the key in the clear; use https";
    assert_eq!(refusal(with_key_row, with_key), expected);
    let expected =
        "providers.mine: `base_url` http://example.com/ holds credentials; use `env_key`";
    assert_eq!(
        refusal(ollama("http://user:pw@example.com/"), with_key),
        expected
    );
}
