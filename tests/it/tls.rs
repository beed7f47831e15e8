//! TLS: spoken, renewed without a restart, and with client certificates where asked for.

use std::path::Path;
use std::time::Duration;

use chathook_tests::{OK, TestGateway, config, signed};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// An authority, and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and key for 127.0.0.1.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn write(dir: &Path, (certificate, key): &(String, String)) {
    std::fs::write(dir.join("tls.crt"), certificate).unwrap();
    std::fs::write(dir.join("tls.key"), key).unwrap();
}

fn client(trusts: &Authority, identity: Option<&(String, String)>) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root = reqwest::Certificate::from_pem(trusts.pem().as_bytes()).unwrap();
    let mut client = reqwest::Client::builder().tls_certs_only([root]).pool_max_idle_per_host(0);
    if let Some((certificate, key)) = identity {
        client = client.identity(reqwest::Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap());
    }
    client.build().unwrap()
}

async fn post(client: &reqwest::Client, gateway: &TestGateway) -> Result<String, reqwest::Error> {
    let url = format!("https://{}/?{}", gateway.callbacks, signed("State.StateChange"));
    client.post(url).body("{}").send().await?.text().await
}

fn with_tls(dir: &Path, more: &str) -> String {
    let dir = dir.display();
    config(&format!("tls = {{ cert = \"{dir}/tls.crt\", key = \"{dir}/tls.key\"{more} }}"))
}

#[tokio::test]
async fn a_changed_certificate_is_used_without_a_restart_and_a_wrong_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(), Authority::new());
    write(dir.path(), &old.issue());
    let gateway = TestGateway::start(&with_tls(dir.path(), "")).await;
    assert_eq!(post(&client(&old, None), &gateway).await.unwrap(), OK);

    std::fs::write(dir.path().join("tls.crt"), "no certificate").unwrap();
    gateway.logged("changed configuration refused").await;
    assert_eq!(post(&client(&old, None), &gateway).await.unwrap(), OK, "the old one stays");
    assert!(gateway.metric(r#"chathook_config_reloads_total{outcome="refused"}"#).await >= 1.0);
    assert_eq!(gateway.metric("chathook_config_last_reload_successful").await, 0.0);

    write(dir.path(), &new.issue());
    gateway.logged("configuration reloaded").await;
    assert_eq!(post(&client(&new, None), &gateway).await.unwrap(), OK);
    assert!(post(&client(&old, None), &gateway).await.is_err());
    assert!(gateway.metric(r#"chathook_config_reloads_total{outcome="applied"}"#).await >= 1.0);
    assert_eq!(gateway.metric("chathook_config_last_reload_successful").await, 1.0);
}

#[tokio::test]
async fn the_metrics_say_when_the_first_certificate_of_the_chain_expires() {
    let expiring_in = |year| {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        params
    };
    let authority = Authority::new();
    let issue = |year, chain: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate = expiring_in(year).signed_by(&key, &authority.0).unwrap();
        (certificate.pem() + chain, key.serialize_pem())
    };
    let soon = expiring_in(2030).self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &issue(2031, &soon));
    let gateway = TestGateway::start(&with_tls(dir.path(), "")).await;
    let expiry = "chathook_certificate_expiry_timestamp_seconds";
    assert_eq!(gateway.metric(expiry).await, 1_893_456_000.0);

    write(dir.path(), &issue(2032, ""));
    gateway.logged("configuration reloaded").await;
    assert_eq!(gateway.metric(expiry).await, 1_956_528_000.0);

    let without = TestGateway::start(&config("")).await;
    assert!(!without.get("/metrics").await.body.contains(expiry), "without a certificate there is nothing to tell");
}

#[tokio::test]
async fn clients_need_a_certificate_where_the_configuration_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (server, clients) = (Authority::new(), Authority::new());
    write(dir.path(), &server.issue());
    std::fs::write(dir.path().join("ca.crt"), clients.pem()).unwrap();
    let more = format!(", client_ca = \"{}/ca.crt\"", dir.path().display());
    let gateway = TestGateway::start(&with_tls(dir.path(), &more)).await;
    assert_eq!(post(&client(&server, Some(&clients.issue())), &gateway).await.unwrap(), OK);
    assert!(post(&client(&server, None), &gateway).await.is_err(), "no certificate");
    assert!(post(&client(&server, Some(&server.issue())), &gateway).await.is_err(), "of another authority");

    // The authorities are renewed as the certificate is.
    std::fs::write(dir.path().join("ca.crt"), server.pem()).unwrap();
    gateway.logged("configuration reloaded").await;
    assert_eq!(post(&client(&server, Some(&server.issue())), &gateway).await.unwrap(), OK);
    assert!(post(&client(&server, Some(&clients.issue())), &gateway).await.is_err());
}

#[tokio::test]
async fn a_handshake_that_is_never_finished_hurts_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    write(dir.path(), &authority.issue());
    let gateway = TestGateway::start(&with_tls(dir.path(), "")).await;
    let mut connection = gateway.connect().await;
    connection.write(b"\x16\x03\x01").await.unwrap();
    let mut plain = gateway.connect().await;
    plain.write(b"POST / HTTP/1.1\r\n\r\n").await.unwrap();
    let client = client(&authority, None);
    let answered = tokio::time::timeout(Duration::from_secs(10), post(&client, &gateway));
    assert_eq!(answered.await.unwrap().unwrap(), OK);
    connection.closed().await.unwrap();
}
