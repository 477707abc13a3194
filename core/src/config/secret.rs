//! Secrets have no place in a configuration file.

/// Keys of other programs' configurations that hold a secret itself.
const SECRET_KEYS: [&str; 14] = [
    "access_token",
    "api_key",
    "apikey",
    "api_token",
    "app_key",
    "auth_token",
    "authorization",
    "bearer",
    "bearer_token",
    "key",
    "password",
    "private_key",
    "secret",
    "token",
];

/// What names of variables that hold a secret end with.
const SECRET_ENDINGS: [&str; 7] = [
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "API_KEY",
    "ACCESS_KEY",
    "PRIVATE_KEY",
];

/// Advice for an unknown key that would hold a secret, in a table that knows the keys `known`.
pub(super) fn inline_secret(key: &str, known: &[&str]) -> Option<String> {
    let lower = key.to_ascii_lowercase().replace('-', "_");
    if !SECRET_KEYS.contains(&lower.as_str()) {
        return None;
    }
    let of_app = ["app_key", "private_key"].contains(&lower.as_str());
    let remedy = if of_app && known.contains(&"app_key_env") {
        "name the variable that holds the App's key with `app_key_env`, or its file with `app_key_file`"
    } else if known.contains(&"password_env") {
        "name its environment variable with `password_env = \"NAME\"`"
    } else if known.contains(&"env_key") {
        "name its environment variable with `env_key = \"NAME\"`"
    } else if known.contains(&"bearer_token_env_var") {
        "name its environment variable with `bearer_token_env_var` (for `url`) or in `env_vars`"
    } else {
        "put it into an environment variable"
    };
    Some(format!("a secret is never written here; {remedy}"))
}

/// Whether a variable of this name would hold a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    SECRET_ENDINGS.iter().any(|ending| upper.ends_with(ending))
}
