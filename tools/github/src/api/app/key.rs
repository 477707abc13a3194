//! The App's private key, and the short-lived proof that we have it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SigningKey;
use serde_json::json;

use crate::config::AppConfig;
use crate::error::GithubError;

/// The only signature that GitHub takes from an App.
const RS256: SignatureScheme = SignatureScheme::RSA_PKCS1_SHA256;
/// The proof begins in the past, so that a clock that is a little ahead does no harm.
const BACKDATED: Duration = Duration::from_secs(60);
/// GitHub takes no proof that lasts for more than ten minutes.
const LASTS: Duration = Duration::from_secs(9 * 60);

/// The private key of an App.
pub(super) struct AppKey {
    id: String,
    key: Arc<dyn SigningKey>,
}

impl AppKey {
    pub(super) fn new(config: &AppConfig) -> Result<Self, GithubError> {
        if config.id.is_empty() || !config.id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(GithubError::AppId(config.id.escape_debug().to_string()));
        }
        let refused = |reason| GithubError::AppKey {
            source_of_key: config.key_source.clone(),
            reason,
        };
        let pem = with_lines(config.key.expose());
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| refused("is no PEM text of a private key without a passphrase"))?;
        let key = any_supported_type(&der)
            .map_err(|_| refused("is damaged, or of a kind that is not used here"))?;
        key.choose_scheme(&[RS256])
            .ok_or_else(|| refused("is not an RSA key"))?;
        Ok(Self {
            id: config.id.clone(),
            key,
        })
    }

    /// A JSON Web Token that says since `now` that we are the App, as a header's value.
    pub(super) fn proof(&self, now: SystemTime) -> Result<HeaderValue, String> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = json!({
            "iat": now.saturating_sub(BACKDATED).as_secs(),
            "exp": (now + LASTS).as_secs(),
            "iss": self.id,
        });
        let header = json!({"alg": "RS256", "typ": "JWT"});
        let encode = |part: String| URL_SAFE_NO_PAD.encode(part);
        let signed = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(claims.to_string())
        );
        let signer = self.key.choose_scheme(&[RS256]).ok_or("no RSA key")?;
        let signature = signer.sign(signed.as_bytes());
        let signature = signature.map_err(|error| error.to_string())?;
        let token = format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        let mut value = HeaderValue::from_str(&token).map_err(|error| error.to_string())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Some places that hold variables take one line only, where line breaks are written as `\n`.
fn with_lines(pem: &str) -> String {
    if pem.contains('\n') {
        return pem.to_owned();
    }
    pem.replace("\\n", "\n")
}
