//! The way to the database, encrypted.

use std::sync::Arc;

use pullwright::store::{PostgresError, PostgresStore};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::address;
use super::server::Server;
use crate::peers::process::free_port;
use crate::store::contract::{self, Store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_s_certificate_is_asked_for_and_checked() {
    let Some(server) = Server::own("TLS to Postgres") else {
        return;
    };
    let authority = Authority::new();
    let port = free_port();
    listen_with_tls(&server, &authority, port);
    let url = |host: &str, authority: &str| {
        format!(
            "postgres://tests@{host}:{port}/postgres?sslmode=verify-full&sslrootcert={authority}"
        )
    };
    let trusted = server.give("ca.pem", &authority.pem());
    let other = server.give("other.pem", &Authority::new().pem());
    let (trusted, other) = (trusted.display().to_string(), other.display().to_string());

    let store = PostgresStore::open(&address(&url("localhost", &trusted))).await;
    let store: Store = Arc::new(store.expect("open"));
    contract::create(&store, "a").await;

    for (what, refused) in [
        ("another authority", url("localhost", &other)),
        ("another name", url("127.0.0.1", &trusted)),
    ] {
        let error = PostgresStore::open(&address(&refused))
            .await
            .expect_err(what);
        assert!(
            matches!(
                error,
                PostgresError::Open {
                    source: sqlx::Error::Tls(_) | sqlx::Error::Io(_),
                    ..
                }
            ),
            "{what}: {error:?}"
        );
    }
}

fn listen_with_tls(server: &Server, authority: &Authority, port: u16) {
    let (certificate, key) = authority.identity("localhost");
    let certificate = server.give("server.pem", &certificate);
    let key = server.give("server.key", &key);
    server.configure(&format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nssl = on\n\
         ssl_cert_file = '{}'\nssl_key_file = '{}'\n",
        certificate.display(),
        key.display()
    ));
    tokio::task::block_in_place(|| server.control(&["restart", "-m", "fast"]));
}

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        Self { issuer }
    }

    fn pem(&self) -> String {
        self.issuer.pem()
    }

    fn identity(&self, host: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([host.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}
