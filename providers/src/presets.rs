//! What is well known about vendors, as rows of data.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use pullwright_protocol::provider::Prices;
use serde::Deserialize;
use url::Url;

use crate::open::ProviderSettings;
use crate::openai_chat::ChatQuirks;

/// The rows, as they are compiled in.
const PRESETS: &str = include_str!("presets.toml");

/// What a vendor's row need not say.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The wire format.
    pub wire_api: String,
    /// Where the service is.
    pub base_url: Url,
    /// The variable that usually holds the key; none where no key is needed.
    pub env_key: Option<String>,
    /// How the vendor's Chat Completions depart from OpenAI's, where they do.
    pub quirks: Option<ChatQuirks>,
    /// What is known about families of models.
    #[serde(default)]
    pub models: Vec<ModelFamily>,
}

/// Models whose names begin alike.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFamily {
    /// How the names begin.
    pub family: String,
    /// The size of the context, in tokens.
    pub context_tokens: Option<u64>,
    /// The most tokens one reply may have.
    pub max_output_tokens: Option<u64>,
    /// What the models cost.
    pub prices: Option<Prices>,
}

/// The preset of a vendor, such as `deepseek`.
#[must_use]
pub fn preset(name: &str) -> Option<&'static Preset> {
    presets().get(name)
}

/// All presets, by name.
#[must_use]
pub fn presets() -> &'static BTreeMap<String, Preset> {
    static PARSED: LazyLock<BTreeMap<String, Preset>> =
        LazyLock::new(|| parse_presets(PRESETS).unwrap_or_default());
    &PARSED
}

/// Presets from TOML, one table per vendor.
///
/// # Errors
/// Which key is unknown, missing or of the wrong kind, and where.
pub fn parse_presets(text: &str) -> Result<BTreeMap<String, Preset>, toml::de::Error> {
    toml::from_str(text)
}

impl Preset {
    /// Writes into `settings` what they do not say themselves: a key of the user's row always wins.
    ///
    /// The key's variable is taken over only for the vendor's own address. A key goes to whom it
    /// belongs, so a row with another address must name its own.
    pub fn complete(&self, settings: &mut ProviderSettings) {
        let elsewhere = settings
            .base_url
            .as_ref()
            .is_some_and(|url| url.origin() != self.base_url.origin());
        let has_key = settings.env_key.is_some() || !settings.key_command.is_empty();
        if !has_key && !elsewhere {
            settings.env_key.clone_from(&self.env_key);
        }
        if settings.wire_api.is_empty() {
            settings.wire_api.clone_from(&self.wire_api);
        }
        settings.quirks = settings.quirks.or(self.quirks);
        settings
            .base_url
            .get_or_insert_with(|| self.base_url.clone());
        let family = settings
            .model
            .as_deref()
            .and_then(|model| self.family(model));
        if let Some(family) = family {
            settings.context_tokens = settings.context_tokens.or(family.context_tokens);
            settings.max_output_tokens = settings.max_output_tokens.or(family.max_output_tokens);
            settings.prices = settings.prices.or(family.prices);
        }
    }

    /// The family of a model; of several, the one that says most about the name.
    #[must_use]
    pub fn family(&self, model: &str) -> Option<&ModelFamily> {
        let families = self.models.iter();
        families
            .filter(|family| model.starts_with(&family.family))
            .max_by_key(|family| family.family.len())
    }
}
