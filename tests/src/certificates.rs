use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// Files of PEM.
pub struct Certificates {
    /// The authority.
    pub ca: PathBuf,
    /// What it has signed for 127.0.0.1.
    pub cert: PathBuf,
    /// The key of that.
    pub key: PathBuf,
}

impl Certificates {
    /// Writes new ones.
    ///
    /// # Panics
    /// When the folder cannot be written.
    #[must_use]
    pub fn write(dir: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let new_key = || KeyPair::generate().expect("a key");
        let ca = CertifiedIssuer::self_signed(params, new_key()).expect("an authority");
        let key = new_key();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
        let cert = params.signed_by(&key, &ca).expect("a certificate");
        let write = |name: &str, text: String| {
            let file = dir.join(name);
            std::fs::write(&file, text).expect("the folder can be written");
            file
        };
        Self {
            ca: write("ca.crt", ca.pem()),
            cert: write("tls.crt", cert.pem()),
            key: write("tls.key", key.serialize_pem()),
        }
    }
}
