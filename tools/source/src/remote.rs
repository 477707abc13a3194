//! A remote repository, ready to talk to: checked again, resolved once, pinned.

use pullwright_core::source::{Repository, SourceError};
use pullwright_protocol::forge::ForgeCredential;

use crate::address;
use crate::config::SourceConfig;
use crate::credential::{Secret, redact};
use crate::failure::{self, Doing};
use crate::git::{Call, Output};
use crate::host::{Host, Scheme};
use crate::url::{Endpoint, UrlPolicy};

/// A remote repository. Each call is a connection to the address that was checked.
pub(crate) struct Remote<'a> {
    config: &'a SourceConfig,
    credential: Option<&'a ForgeCredential>,
    pub(crate) url: String,
    protocol: &'static str,
    git_config: Vec<String>,
    ssh_command: Option<String>,
}

impl<'a> Remote<'a> {
    /// Applies the policy again (a repository may come from a log) and resolves the host.
    pub(crate) async fn open(
        config: &'a SourceConfig,
        policy: &UrlPolicy,
        repository: &Repository,
        credential: Option<&'a ForgeCredential>,
    ) -> Result<Self, SourceError> {
        let accepted = policy.accept(&repository.url)?;
        let mut remote = Self {
            config,
            credential: None,
            url: accepted.repository.url,
            protocol: "file",
            git_config: Vec::new(),
            ssh_command: None,
        };
        let Some(endpoint) = accepted.endpoint else {
            return Ok(remote);
        };
        let address = address::resolve(&endpoint, &config.timeouts).await?;
        remote.protocol = endpoint.scheme.as_str();
        match endpoint.scheme {
            Scheme::Ssh => remote.ssh_command = Some(ssh_command(&endpoint, address)),
            Scheme::Http | Scheme::Https => {
                remote.git_config = http_config(config, &endpoint, address);
                remote.credential = credential.filter(|given| given.password.is_some());
                if Secret::for_origin(remote.credential, &endpoint.origin())?.is_some() {
                    remote.git_config.push(Secret::helper(&endpoint.origin()));
                }
            }
        }
        Ok(remote)
    }

    /// Runs a call that talks to the remote; its failure is told in terms of `doing`.
    pub(crate) async fn run(&self, call: Call, doing: Doing<'_>) -> Result<Output, SourceError> {
        let output = self.try_run(call).await?;
        if output.success {
            return Ok(output);
        }
        Err(failure::explain(
            doing,
            &self.url,
            self.credential.is_some(),
            &output.stderr,
        ))
    }

    /// As [`Remote::run`], but git's failure is left to the caller.
    pub(crate) async fn try_run(&self, call: Call) -> Result<Output, SourceError> {
        let origin = self
            .credential
            .map_or("", |credential| credential.origin.as_str());
        let mut call = call
            .config(self.git_config.iter().map(String::as_str))
            .env("GIT_ALLOW_PROTOCOL", self.protocol)
            .secret(Secret::for_origin(self.credential, origin)?);
        if let Some(ssh) = &self.ssh_command {
            call = call.env("GIT_SSH_COMMAND", ssh);
        }
        let mut output = call.run(self.config).await?;
        output.stderr = redact(&output.stderr, self.credential);
        output.stdout = match self.credential {
            Some(_) => {
                let text = String::from_utf8_lossy(&output.stdout);
                redact(&text, self.credential).into_bytes()
            }
            None => output.stdout,
        };
        Ok(output)
    }

    pub(crate) fn has_credential(&self) -> bool {
        self.credential.is_some()
    }
}

fn http_config(
    config: &SourceConfig,
    endpoint: &Endpoint,
    address: std::net::IpAddr,
) -> Vec<String> {
    let mut entries = vec![
        "http.followRedirects=false".to_owned(),
        "http.proxy=".to_owned(),
        "http.sslVerify=true".to_owned(),
        "http.lowSpeedLimit=1000".to_owned(),
        format!(
            "http.lowSpeedTime={}",
            config.timeouts.stall.as_secs().max(1)
        ),
        "transfer.bundleURI=false".to_owned(),
    ];
    if let Host::Name(name) = &endpoint.host {
        let address = Host::Address(address);
        entries.push(format!(
            "http.curloptResolve={name}:{}:{address}",
            endpoint.port
        ));
    }
    entries
}

/// The server's own ssh keys are used; the host's key is looked up under the host's name.
fn ssh_command(endpoint: &Endpoint, address: std::net::IpAddr) -> String {
    let alias = if endpoint.port == 22 {
        endpoint.host.to_string()
    } else {
        format!("'[{}]:{}'", endpoint.host, endpoint.port)
    };
    format!(
        "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o CheckHostIP=no -o ProxyCommand=none \
         -o ConnectTimeout=30 -o HostName={address} -o HostKeyAlias={alias}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(scheme: Scheme, host: &str, port: u16) -> Endpoint {
        let host = Host::parse(host).unwrap();
        Endpoint {
            scheme,
            host,
            port,
            names_private: false,
        }
    }

    #[test]
    fn git_connects_to_the_checked_address_only() {
        let config = SourceConfig::new("data".into());
        let pins = |host: &str, address: &str| {
            let endpoint = endpoint(Scheme::Https, host, 443);
            http_config(&config, &endpoint, address.parse().unwrap())
                .into_iter()
                .filter_map(|entry| {
                    entry
                        .strip_prefix("http.curloptResolve=")
                        .map(str::to_owned)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(pins("a.example", "192.0.2.7"), ["a.example:443:192.0.2.7"]);
        assert_eq!(
            pins("a.example", "2001:db8::7"),
            ["a.example:443:[2001:db8::7]"]
        );
        assert!(
            pins("192.0.2.7", "192.0.2.7").is_empty(),
            "nothing to look up"
        );

        let ssh = ssh_command(
            &endpoint(Scheme::Ssh, "a.example", 22),
            "192.0.2.7".parse().unwrap(),
        );
        assert!(
            ssh.ends_with("-o HostName=192.0.2.7 -o HostKeyAlias=a.example"),
            "{ssh}"
        );
        let ssh = ssh_command(
            &endpoint(Scheme::Ssh, "a.example", 99),
            "192.0.2.7".parse().unwrap(),
        );
        assert!(ssh.ends_with("-o HostKeyAlias='[a.example]:99'"), "{ssh}");
    }
}
