//! What is well known about vendors.

use pullwright_protocol::provider::Prices;
use pullwright_providers::{
    Preset, ProviderSettings, WIRE_APIS, open, parse_presets, preset, presets,
};
use url::Url;

fn row(name: &str, model: &str) -> ProviderSettings {
    ProviderSettings {
        name: name.into(),
        model: Some(model.into()),
        ..ProviderSettings::default()
    }
}

fn completed(name: &str, mut settings: ProviderSettings) -> ProviderSettings {
    preset(name).unwrap().complete(&mut settings);
    settings
}

#[test]
fn every_row_is_sound() {
    let strictly = parse_presets(include_str!("../../src/presets.toml")).unwrap();
    assert_eq!(&strictly, presets());
    for (name, preset) in presets() {
        let wire = preset.wire_api.as_str();
        assert!(WIRE_APIS.contains(&wire), "{name}: {wire}");
        let is_local = preset.base_url.host_str() == Some("127.0.0.1");
        let scheme = if is_local { "http" } else { "https" };
        assert_eq!(preset.base_url.scheme(), scheme, "{name}");
        assert_eq!(preset.env_key.is_none(), is_local, "{name}");
        for model in &preset.models {
            let says_something = model.context_tokens.is_some() || model.prices.is_some();
            assert!(says_something, "{name}: {}", model.family);
            assert!(
                model.max_output_tokens < model.context_tokens,
                "{name}: {}",
                model.family
            );
        }
    }
}

#[test]
fn the_vendors_that_users_look_for_are_there() {
    let names = [
        "anthropic",
        "openai",
        "gemini",
        "openrouter",
        "deepseek",
        "mistral",
        "groq",
        "xai",
        "together",
        "fireworks",
        "ollama",
        "lmstudio",
        "vllm",
        "llama.cpp",
    ];
    for name in names {
        assert!(preset(name).is_some(), "{name}");
    }
    assert_eq!(preset("nobody"), None);
}

#[test]
fn a_mistyped_key_is_refused() {
    for (text, said) in [
        (
            "[a]\nwire_api = 'gemini'\nbase_url = 'https://a.example'\nenv_kei = 'K'\n",
            "env_kei",
        ),
        ("[a]\nbase_url = 'https://a.example'\n", "wire_api"),
        ("[a]\nwire_api = 'gemini'\nbase_url = 'a.example'\n", "URL"),
        (
            "[a]\nwire_api = 'gemini'\nbase_url = 'https://a.example'\nmodels = [{ family = 'm', context = 1 }]\n",
            "context",
        ),
        (
            "[a]\nwire_api = 'gemini'\nbase_url = 'https://a.example'\nmodels = [{ family = 'm', prices = { input = 1.0 } }]\n",
            "cached_input",
        ),
    ] {
        let error = parse_presets(text).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_short_row_opens() {
    let key = |name: &str| (name == "ANTHROPIC_API_KEY").then(|| "sk-secret".to_owned());
    let opened = open(completed("anthropic", row("mine", "claude-opus-5-5")), key);
    let info = opened.unwrap_or_else(|error| panic!("{error}")).info();
    assert_eq!(info.provenance.provider, "mine");
    let limits = (info.context_tokens, info.max_output_tokens);
    assert_eq!(limits, (Some(1_000_000), Some(128_000)));
    let opened = open(completed("ollama", row("local", "qwen3:4b")), |_| None);
    let info = opened.unwrap_or_else(|error| panic!("{error}")).info();
    assert_eq!(info.provenance.wire, "ollama");
}

#[test]
fn what_the_user_wrote_wins() {
    let prices = Prices {
        input: 1.0,
        cached_input: 0.1,
        cache_write: 1.25,
        output: 5.0,
    };
    let written = ProviderSettings {
        wire_api: "gemini".into(),
        base_url: Some(Url::parse("https://api.anthropic.com/eu").unwrap()),
        env_key: Some("MINE".into()),
        context_tokens: Some(5000),
        max_output_tokens: Some(500),
        prices: Some(prices),
        ..row("mine", "claude-opus-5-5")
    };
    let after = completed("anthropic", written.clone());
    assert_eq!(format!("{after:?}"), format!("{written:?}"));
}

#[test]
fn a_key_is_not_offered_to_another_address() {
    let at = |url: &str| {
        let settings = ProviderSettings {
            base_url: Some(Url::parse(url).unwrap()),
            ..row("mine", "claude-opus-5-5")
        };
        completed("anthropic", settings).env_key
    };
    assert_eq!(
        at("https://api.anthropic.com/eu").as_deref(),
        Some("ANTHROPIC_API_KEY")
    );
    for url in [
        "https://gateway.example",
        "http://api.anthropic.com",
        "https://api.anthropic.com:8443",
    ] {
        assert_eq!(at(url), None, "{url}");
    }
}

#[test]
fn the_longest_family_counts() {
    let text = "[a]\nwire_api = 'gemini'\nbase_url = 'https://a.example'\nmodels = [{ family = 'm-1', context_tokens = 1 }, { family = 'm-1-pro', context_tokens = 2 }, { family = 'm', context_tokens = 3 }]\n";
    let presets = parse_presets(text).unwrap();
    let preset: &Preset = &presets["a"];
    let context = |model: &str| {
        preset
            .family(model)
            .and_then(|family| family.context_tokens)
    };
    assert_eq!(
        ["m-1-pro-x", "m-1-x", "m-2", "x-m"].map(context),
        [Some(2), Some(1), Some(3), None]
    );
}
