//! What a sandbox's processes asked of the network, and what became of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Accesses of a sandbox to one host that are alike, within about a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkAccess {
    /// The host, as the sandbox understood it; what was asked for, in printable characters, where
    /// that is no host.
    pub host: String,
    /// The port, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// What became of it.
    pub verdict: NetworkVerdict,
    /// Why it was denied or failed, as one word of the sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The address that was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How many accesses began.
    pub count: u64,
    /// Bytes to the host, of accesses that ended.
    pub sent_bytes: u64,
    /// Bytes from the host, of accesses that ended.
    pub received_bytes: u64,
}

/// What became of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetworkVerdict {
    /// It was let through.
    Allowed,
    /// It is not allowed.
    Denied,
    /// It is allowed, and the host could not be reached.
    Failed,
}

impl NetworkAccess {
    /// A sentence for a person, where there is something to mend.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let reason = self.reason.as_deref().unwrap_or("no reason given");
        let port = self.port.map_or(String::new(), |port| format!(":{port}"));
        let target = format!("{}{port}", self.host);
        let times = match self.count {
            0 | 1 => String::new(),
            count => format!(", {count} times"),
        };
        match self.verdict {
            NetworkVerdict::Allowed => None,
            NetworkVerdict::Denied => Some(format!(
                "the sandbox's network refused {target} ({reason}{times}); what may be reached is \
                 in [sandbox.network] allow, and for setup in [setup] allow, of plugins.toml"
            )),
            NetworkVerdict::Failed => Some(format!(
                "the sandbox's network could not reach {target} ({reason}{times})"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(verdict: NetworkVerdict, count: u64) -> NetworkAccess {
        NetworkAccess {
            host: "example.com".to_owned(),
            port: Some(22),
            verdict,
            reason: Some("port_not_allowed".to_owned()),
            address: None,
            count,
            sent_bytes: 0,
            received_bytes: 0,
        }
    }

    #[test]
    fn only_what_did_not_work_is_told() {
        let told = |verdict, count| access(verdict, count).complaint();
        assert_eq!(told(NetworkVerdict::Allowed, 1), None);
        let denied = told(NetworkVerdict::Denied, 3).unwrap();
        assert!(
            denied.contains("example.com:22 (port_not_allowed, 3 times)"),
            "{denied}"
        );
        assert!(
            told(NetworkVerdict::Failed, 1)
                .unwrap()
                .contains("could not reach")
        );
    }
}
