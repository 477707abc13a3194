//! The GitHub App that a row names, with its key.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use pullwright_core::config::{AppConfig, AppKey};
use pullwright_github::Secret;

/// A key of 16,384 bits has 13 KiB; a longer file is no key.
const MAX_KEY_BYTES: u64 = 64 * 1024;

/// Reads the key from where the row says it is.
pub(super) fn read(row: &AppConfig) -> Result<pullwright_github::AppConfig, String> {
    let (key, key_source) = match &row.key {
        AppKey::Variable(variable) => (variable_key(variable)?, variable.clone()),
        AppKey::File(file) => (file_key(file)?, file.display().to_string()),
    };
    Ok(pullwright_github::AppConfig {
        id: row.id.clone(),
        key,
        key_source,
        workflows: row.workflows,
        talks: row.talks,
    })
}

fn variable_key(variable: &str) -> Result<Secret, String> {
    let value = std::env::var(variable).unwrap_or_default();
    if value.trim().is_empty() {
        return Err(format!(
            "the environment variable {variable}, named by `app_key_env`, is not set; put the \
             App's private key there"
        ));
    }
    Ok(Secret::new(value))
}

fn file_key(path: &Path) -> Result<Secret, String> {
    let unreadable = |error: std::io::Error| {
        format!(
            "the App's private key {}, named by `app_key_file`, cannot be read: {error}",
            path.display()
        )
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    let read = file.take(MAX_KEY_BYTES + 1).read_to_string(&mut text);
    let bytes = read.map_err(unreadable)?;
    if u64::try_from(bytes).is_ok_and(|bytes| bytes > MAX_KEY_BYTES) {
        return Err(format!(
            "{}, named by `app_key_file`, has more than {MAX_KEY_BYTES} bytes, so it is no key",
            path.display()
        ));
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(key: AppKey) -> AppConfig {
        AppConfig {
            id: "4711".to_owned(),
            key,
            workflows: true,
            talks: false,
        }
    }

    #[test]
    fn a_key_is_read_from_its_file_and_not_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.pem");
        std::fs::write(&path, "canary").unwrap();
        let found = read(&app(AppKey::File(path.clone()))).unwrap();
        assert_eq!((&*found.id, found.workflows), ("4711", true));
        assert_eq!(found.key_source, path.display().to_string());
        assert!(!format!("{found:?}").contains("canary"), "{found:?}");
    }

    #[test]
    fn a_key_that_cannot_be_read_is_told_with_the_name_of_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("absent.pem");
        let long = folder.path().join("long.pem");
        std::fs::write(&long, "a".repeat(70_000)).unwrap();
        let binary = folder.path().join("binary.pem");
        std::fs::write(&binary, [0xff, 0xfe]).unwrap();
        let table = [
            (
                AppKey::File(absent),
                "absent.pem, named by `app_key_file`, cannot be read",
            ),
            (AppKey::File(long), "more than 65536 bytes"),
            (
                AppKey::File(binary),
                "binary.pem, named by `app_key_file`, cannot be read",
            ),
            (
                AppKey::Variable("PULLWRIGHT_NO_SUCH_APP_KEY".to_owned()),
                "PULLWRIGHT_NO_SUCH_APP_KEY, named by `app_key_env`, is not set",
            ),
        ];
        for (key, expected) in table {
            let message = read(&app(key)).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
