//! Rows of `plugins.toml` as the settings of built-in providers.

use pullwright_core::config::{Compaction, Config, ProviderConfig, ProviderLink, WireLink};
use pullwright_providers::{Preset, ProviderSettings, preset, presets};
use serde_json::Value;
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
    let quirks = wire.quirks.clone().map(Value::Object);
    let quirks = quirks.map(serde_json::from_value).transpose();
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
        context_tokens: config.context_tokens,
        max_output_tokens: config.max_output_tokens,
        prices: config.prices,
        effort: wire.effort.clone(),
        own_compaction: wire
            .compaction
            .map(|compaction| compaction == Compaction::Provider),
        quirks: quirks.map_err(|error| format!("providers.{row}.quirks: {error}"))?,
        script: wire.script.clone(),
    };
    if let Some(name) = &wire.preset {
        known(row, name)?.complete(&mut settings);
    }
    Ok(settings)
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
