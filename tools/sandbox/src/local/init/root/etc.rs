//! `/etc`: what toolchains need of the host's, and the rest made up.

use std::fs;
use std::path::Path;

use super::tree::Tree;
use crate::local::plan::{HOME, Plan, USER_ID};
use crate::local::step::{During as _, Failure, Step};

/// Files and folders of the host that hold no secret and that toolchains read. Anything that may
/// name a host, a person, a proxy or a token is left out: that is most of `/etc`.
const SHOWN: &[&str] = &[
    // The dynamic linker.
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "ld-musl-x86_64.path",
    "ld-musl-aarch64.path",
    "alternatives",
    // Certificates, without private keys.
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "pki/ca-trust/extracted",
    "pki/tls/cert.pem",
    "pki/tls/certs",
    "pki/tls/openssl.cnf",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
    // The system's name and time.
    "alpine-release",
    "debian_version",
    "lsb-release",
    "os-release",
    "redhat-release",
    "localtime",
    "timezone",
    // Tables.
    "ethertypes",
    "locale.alias",
    "locale.conf",
    "magic",
    "magic.mime",
    "mime.types",
    "protocols",
    "rpc",
    "services",
    "shells",
    "terminfo",
    // Toolchains.
    "dotnet",
    "fonts",
    "ghc",
    "maven/logging",
    "maven/m2.conf",
    "mono",
    "perl",
    "php",
    "sgml",
    "xml",
];

/// The same for toolchains that have a version in their name.
const SHOWN_FAMILIES: &[&str] = &["ImageMagick-", "java", "lua", "openmpi", "python3", "ruby"];

/// The names below `/etc` that are shown if they are there.
pub(super) fn shown() -> Result<Vec<String>, Failure> {
    let mut names: Vec<_> = SHOWN.iter().map(|name| (*name).to_owned()).collect();
    let listed = fs::read_dir("/etc").during(Step::Source, || "list /etc".to_owned())?;
    let listed = listed.flatten().map(|entry| entry.file_name());
    names.extend(
        listed
            .filter_map(|name| name.into_string().ok())
            .filter(|name| is_of_a_family(name)),
    );
    Ok(names)
}

fn is_of_a_family(name: &str) -> bool {
    let of = |family: &&str| {
        name.strip_prefix(*family).is_some_and(|rest| {
            rest.chars()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == '.' || letter == '-')
        })
    };
    SHOWN_FAMILIES.iter().any(of)
}

/// Writes what the host's files would say too much in.
pub(super) fn generate(tree: &Tree, plan: &Plan) -> Result<(), Failure> {
    let name = &plan.hostname;
    let shell = match Path::new("/bin/bash").exists() {
        true => "/bin/bash",
        false => "/bin/sh",
    };
    let files = [
        (
            "passwd",
            format!(
                "root:x:0:0:root:/root:/usr/sbin/nologin\n\
                 pullwright:x:{USER_ID}:{USER_ID}:Pullwright:{HOME}:{shell}\n\
                 nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
            ),
        ),
        (
            "group",
            format!("root:x:0:\npullwright:x:{USER_ID}:\nnogroup:x:65534:\n"),
        ),
        (
            "hosts",
            format!(
                "127.0.0.1 localhost {name}\n::1 localhost ip6-localhost ip6-loopback {name}\n"
            ),
        ),
        ("hostname", format!("{name}\n")),
        ("resolv.conf", String::new()),
        (
            "nsswitch.conf",
            [
                "passwd",
                "group",
                "shadow",
                "hosts",
                "networks",
                "protocols",
                "services",
            ]
            .map(|table| format!("{table}: files\n"))
            .concat(),
        ),
    ];
    for (file, content) in files {
        tree.write(&format!("etc/{file}"), &content)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_those_of_toolchains() {
        for name in [
            "java",
            "java-17-openjdk",
            "python3",
            "python3.11",
            "ImageMagick-6",
        ] {
            assert!(is_of_a_family(name), "{name}");
        }
        for name in ["java_secrets", "shadow", "python", "ssh", "rubytoken~"] {
            assert!(!is_of_a_family(name), "{name}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let secret = [
            "shadow",
            "gshadow",
            "passwd",
            "group",
            "hosts",
            "ssh",
            "ssl",
            "ssl/private",
            "sudoers",
            "machine-id",
            "environment",
            "npmrc",
            "pip.conf",
            "gitconfig",
            "maven",
            "krb5.conf",
        ];
        for name in secret {
            assert!(!SHOWN.contains(&name), "{name}");
        }
    }
}
