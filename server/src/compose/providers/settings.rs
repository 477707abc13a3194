//! Rows of `plugins.toml` as the settings of built-in providers.

use pullwright_core::config::{Compaction, Config, ProviderConfig, ProviderLink, WireLink};
use pullwright_providers::{ChatQuirks, Preset, ProviderSettings, preset, presets};
use url::Url;

/// Writes into rows with a preset what everybody who reads the configuration wants to know: the wire
/// format, the address and the variable of the key. Limits depend on the model that a request names.
///
/// # Errors
/// A sentence when a preset does not exist, or quirks mean nothing.
pub(crate) fn complete(config: &mut Config) -> Result<(), String> {
    for (row, provider) in &mut config.providers {
        let ProviderLink::Wire(wire) = &provider.link else {
            continue;
        };
        let settings = settings(row, provider, wire, None)?;
        if let ProviderLink::Wire(wire) = &mut provider.link {
            wire.wire_api = settings.wire_api;
            wire.env_key = settings.env_key;
            wire.base_url = settings.base_url.map(String::from).or(wire.base_url.take());
        }
    }
    Ok(())
}

/// The settings of a row, for `model` if the request names one.
pub(super) fn settings(
    row: &str,
    config: &ProviderConfig,
    wire: &WireLink,
    model: Option<&str>,
) -> Result<ProviderSettings, String> {
    let base_url = wire.base_url.as_deref().map(Url::parse).transpose();
    let base_url =
        base_url.map_err(|error| format!("providers.{row}: `base_url` is not a URL: {error}"))?;
    // What the row says of its model is not true of another one that a request names.
    let is_own = model.is_none_or(|model| config.model.as_deref().is_none_or(|own| own == model));
    let preset = wire
        .preset
        .as_deref()
        .map(|name| known(row, name))
        .transpose()?;
    let quirks = quirks(row, wire, preset)?;
    let mut settings = ProviderSettings {
        name: row.to_owned(),
        wire_api: wire.wire_api.clone(),
        base_url,
        env_key: wire.env_key.clone(),
        key_command: wire
            .auth
            .as_ref()
            .map_or_else(Vec::new, |auth| auth.command.clone()),
        key_refresh: wire.auth.as_ref().and_then(|auth| auth.refresh),
        env_headers: wire.env_http_headers.clone(),
        ca_file: wire.ca_file.clone(),
        model: model.map(str::to_owned).or_else(|| config.model.clone()),
        context_tokens: config.context_tokens.filter(|_| is_own),
        max_output_tokens: config.max_output_tokens.filter(|_| is_own),
        prices: config.prices.filter(|_| is_own),
        effort: wire.effort.clone(),
        own_compaction: wire
            .compaction
            .map(|compaction| compaction == Compaction::Provider),
        quirks,
        script: wire.script.clone(),
    };
    if let Some(preset) = preset {
        preset.complete(&mut settings);
    }
    Ok(settings)
}

/// Those of the row over those of its preset, key by key.
fn quirks(
    row: &str,
    wire: &WireLink,
    preset: Option<&Preset>,
) -> Result<Option<ChatQuirks>, String> {
    let Some(own) = &wire.quirks else {
        return Ok(None);
    };
    let preset = preset.and_then(|preset| preset.quirks).unwrap_or_default();
    let mut all = serde_json::to_value(preset).unwrap_or_default();
    if let Some(all) = all.as_object_mut() {
        all.extend(own.clone());
    }
    let all = serde_json::from_value(all);
    all.map(Some)
        .map_err(|error| format!("providers.{row}.quirks: {error}"))
}

fn known(row: &str, name: &str) -> Result<&'static Preset, String> {
    preset(name).ok_or_else(|| {
        let names: Vec<&str> = presets().keys().map(String::as_str).collect();
        format!(
            "providers.{row}: there is no preset `{name}`; there are: {}",
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use pullwright_core::config::ProviderLink;

    use super::*;

    /// The settings of the row `mine`, for a model that a request may name.
    fn of(keys: &str, model: Option<&str>) -> ProviderSettings {
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        let text = format!(
            "[agent]\nprovider = \"mine\"\n[providers.mine]\npreset = \"deepseek\"\nmodel = \"m\"\n{keys}"
        );
        std::fs::write(file.path(), text).unwrap();
        let config = Config::load(file.path()).unwrap();
        let row = &config.providers["mine"];
        let ProviderLink::Wire(wire) = &row.link else {
            panic!("{row:?}");
        };
        settings("mine", row, wire, model).unwrap()
    }

    #[test]
    fn a_quirk_of_the_row_s_own_leaves_the_others_of_its_preset() {
        let preset = of("", None).quirks.unwrap();
        assert!(preset.needs_reasoning && preset.no_images);
        let own = of("quirks = { no_images = false }", None).quirks.unwrap();
        let expected = ChatQuirks {
            no_images: false,
            ..preset
        };
        assert_eq!(own, expected);
    }

    #[test]
    fn what_a_row_says_of_its_model_is_not_true_of_another() {
        let keys = "context_tokens = 1000\nmax_output_tokens = 100\nprices = { input = 1.0, output = 2.0 }";
        for (model, is_own) in [(None, true), (Some("m"), true), (Some("dear"), false)] {
            let settings = of(keys, model);
            assert_eq!(settings.model.as_deref(), model.or(Some("m")));
            assert_eq!(settings.context_tokens.is_some(), is_own);
            assert_eq!(settings.max_output_tokens.is_some(), is_own);
            assert_eq!(settings.prices.is_some(), is_own);
        }
    }
}
