//! Signatures after the Standard Webhooks specification: `v1`, HMAC-SHA256.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use secrecy::ExposeSecret;
use sha2::Sha256;

use crate::config::{Invalid, Secret};

/// Signs with every secret, so that one can be replaced without a moment at which nothing fits.
pub(super) struct Signer(Vec<Hmac<Sha256>>);

impl Signer {
    /// Reads secrets: base64 of 24 to 64 bytes, with or without `whsec_` in front.
    pub(super) fn read(secrets: &[Secret]) -> Result<Self, Invalid> {
        let read = |(i, secret): (usize, &Secret)| {
            let invalid = |problem: &str| Invalid::new(format!("http.secrets[{i}]"), problem);
            let secret = secret.read().map_err(|problem| invalid(&problem))?;
            let text = secret.expose_secret().trim();
            let key = STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text));
            let key = key.map_err(|_| invalid("is not base64; `openssl rand -base64 32` makes a good one"))?;
            if !(24..=64).contains(&key.len()) {
                return Err(invalid("has to be base64 of 24 to 64 bytes; `openssl rand -base64 32` makes a good one"));
            }
            Hmac::new_from_slice(&key).map_err(|_| invalid("cannot be used as a key"))
        };
        secrets.iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Signs what is sent at `time`, in Unix seconds, where there is a secret.
    pub(super) fn sign(&self, headers: &mut HeaderMap, id: &str, time: u64, body: &[u8]) {
        if self.0.is_empty() {
            return;
        }
        let (id, time) = (webhook_id(id), time.to_string());
        let signatures: Vec<String> = self.0.iter().map(|key| signature(key, &id, &time, body)).collect();
        for (name, value) in
            [("webhook-id", &*id), ("webhook-timestamp", &time), ("webhook-signature", &signatures.join(" "))]
        {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

fn signature(key: &Hmac<Sha256>, id: &str, time: &str, body: &[u8]) -> String {
    let mut mac = key.clone();
    for part in [id.as_bytes(), b".", time.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Dots stand between the parts of what is signed, so that the identity, which users have a hand in, may have none.
const NOT_IN_IDS: &AsciiSet = &CONTROLS.add(b' ').add(b'.');

fn webhook_id(id: &str) -> Cow<'_, str> {
    utf8_percent_encode(id, NOT_IN_IDS).into()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderMap;

    use super::Signer;
    use crate::config::Secret;

    const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn signed(secrets: &[&str], id: &str, time: u64, body: &str) -> HeaderMap {
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::value(*secret)).collect();
        let mut headers = HeaderMap::new();
        Signer::read(&secrets).unwrap().sign(&mut headers, id, time, body.as_bytes());
        headers
    }

    #[test]
    fn the_published_example_comes_out() {
        let body = r#"{"test": 2432232314}"#;
        for secret in [KEY, &format!("whsec_{KEY}")] {
            let headers = signed(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
            assert_eq!(headers["webhook-id"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
            assert_eq!(headers["webhook-timestamp"], "1614265330");
            assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        }
    }

    #[test]
    fn every_secret_signs() {
        let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let both = signed(&[KEY, other], "a", 7, "{}")["webhook-signature"].clone();
        let each = [KEY, other].map(|secret| signed(&[secret], "a", 7, "{}")["webhook-signature"].clone());
        assert_eq!(both.to_str().unwrap(), format!("{} {}", each[0].to_str().unwrap(), each[1].to_str().unwrap()));
        assert!(signed(&[], "a", 7, "{}").is_empty());
    }

    #[test]
    fn an_identity_has_no_dot_where_it_is_signed() {
        let headers = signed(&[KEY], "1400000001/Sns.CallbackFriendAdd/a.1718000000.{}", 7, "{}");
        assert_eq!(headers["webhook-id"], "1400000001/Sns%2ECallbackFriendAdd/a%2E1718000000%2E{}");
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_repeated() {
        for secret in ["%%%", "whsec_%", "QUJD", &"A".repeat(88)] {
            let invalid = Signer::read(&[Secret::value(KEY), Secret::value(secret)]).err().unwrap();
            assert_eq!(invalid.key, "http.secrets[1]");
            assert!(!invalid.problem.contains(secret), "{}", invalid.problem);
        }
    }
}
