//! The variables by which programs find the proxy.

use std::collections::BTreeMap;

/// For the project's own servers in the sandbox.
const DIRECT: &str = "localhost,127.0.0.1,::1";

/// The environment of programs in a sandbox whose proxy listens on this port of its loopback.
///
/// curl and git read `http_proxy` in lower case alone and the others in both; cargo, pip, npm and
/// Go read either; node's own `fetch` wants to be told to look.
pub fn proxy_environment(port: u16) -> BTreeMap<String, String> {
    let proxy = format!("http://127.0.0.1:{port}");
    let both_cases = [
        ("HTTP_PROXY", proxy.as_str()),
        ("HTTPS_PROXY", &proxy),
        ("NO_PROXY", DIRECT),
    ];
    let mut environment = BTreeMap::from([("NODE_USE_ENV_PROXY".to_owned(), "1".to_owned())]);
    for (name, value) in both_cases {
        environment.insert(name.to_owned(), value.to_owned());
        environment.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    environment
}
