//! Only Chat gets in: source address, application, `Sign`, age.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chathook_protocol::Query;
use chathook_protocol::signature::{self, SignatureError};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::config::{Invalid, Secret, duration};
use crate::decide;

/// `[[app]]`: an application whose callbacks are taken.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AppConfig {
    /// Its number.
    pub sdk_app_id: u64,
    /// Its tokens, as entered in the console beside the URL. Any of them is accepted, for rotation.
    #[serde(default, deserialize_with = "crate::config::secrets")]
    pub tokens: Vec<Secret>,
    /// How far `RequestTime` may be from now, both ways. Default: `60s`, as the documentation asks.
    #[serde(default = "one_minute", deserialize_with = "duration")]
    pub max_age: Duration,
    /// Takes callbacks without a `Sign`. Has to be said where there is no token, and is for trying out only.
    #[serde(default)]
    pub unsigned: bool,
    /// Deadlines and fallbacks of this application, where they are others than in `[decide]`.
    #[serde(default)]
    pub decide: decide::AppConfig,
}

fn one_minute() -> Duration {
    Duration::from_mins(1)
}

impl AppConfig {
    /// An application whose callbacks are signed with one of `tokens`.
    #[must_use]
    pub fn signed(sdk_app_id: u64, tokens: Vec<Secret>) -> Self {
        Self { sdk_app_id, tokens, max_age: one_minute(), unsigned: false, decide: decide::AppConfig::default() }
    }

    /// An application whose callbacks are not signed: for trying out only.
    #[must_use]
    pub fn unsigned(sdk_app_id: u64) -> Self {
        Self { unsigned: true, ..Self::signed(sdk_app_id, Vec::new()) }
    }
}

/// Checks the applications of a configuration.
pub(crate) fn check(apps: &[AppConfig], decide: &decide::Config) -> Result<(), Invalid> {
    if apps.is_empty() {
        return Err(Invalid::new("app", "there is no application; add [[app]] with sdk_app_id and tokens"));
    }
    for (i, app) in apps.iter().enumerate() {
        let key = |name: &str| format!("app[{i}].{name}");
        if apps[..i].iter().any(|other| other.sdk_app_id == app.sdk_app_id) {
            return Err(Invalid::new(key("sdk_app_id"), "this application is there twice"));
        }
        match (app.tokens.is_empty(), app.unsigned) {
            (true, false) => {
                let problem = "there is no token; give one, or say `unsigned = true` to take callbacks from anybody";
                return Err(Invalid::new(key("tokens"), problem));
            }
            (false, true) => return Err(Invalid::new(key("unsigned"), "contradicts the tokens that are given")),
            _ => {}
        }
        app.decide.check(decide).map_err(|error| Invalid { key: key(&error.key), ..error })?;
    }
    Ok(())
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumIter, strum::EnumCount)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Refusal {
    /// Missing, malformed or foreign `SdkAppid`.
    App,
    /// Missing or wrong `Sign`, or no `RequestTime`.
    Sign,
    /// `RequestTime` too old or too new.
    Age,
    /// Query and body name different commands.
    Mismatch,
    /// An address that is not on the list.
    Source,
}

/// The applications with their secrets, and the addresses that may call.
pub(crate) struct Verifier {
    apps: HashMap<u64, App>,
    allow_from: Option<Vec<IpNet>>,
    trusted_proxies: Vec<IpNet>,
}

struct App {
    tokens: Vec<SecretString>,
    max_age: Duration,
}

/// A request that is Chat's, as far as the URL can show.
pub(crate) struct Verified(pub(crate) Query);

impl Verifier {
    pub(crate) fn build(apps: &[AppConfig], callbacks: &crate::http::Config) -> Result<Self, Invalid> {
        let mut known = HashMap::new();
        for (i, app) in apps.iter().enumerate() {
            let secret = |(j, token): (usize, &Secret)| {
                token.read().map_err(|problem| Invalid::new(format!("app[{i}].tokens[{j}]"), problem))
            };
            let tokens = app.tokens.iter().enumerate().map(secret).collect::<Result<_, _>>()?;
            known.insert(app.sdk_app_id, App { tokens, max_age: app.max_age });
        }
        let allow_from = callbacks.allow_from.clone();
        Ok(Self { apps: known, allow_from, trusted_proxies: callbacks.trusted_proxies.clone() })
    }

    /// Checks the address that a request comes from. `forwarded` is its `X-Forwarded-For`, believed from trusted
    /// proxies only: the client is the last address that is not one of them.
    pub(crate) fn source(&self, peer: Option<IpAddr>, forwarded: impl Fn() -> Option<String>) -> Result<(), Refusal> {
        let Some(allow_from) = &self.allow_from else { return Ok(()) };
        let listed = |list: &[IpNet], ip: IpAddr| list.iter().any(|net| net.contains(&ip));
        let mut client = peer.map(|ip| ip.to_canonical()).ok_or(Refusal::Source)?;
        if listed(&self.trusted_proxies, client) {
            for hop in forwarded().ok_or(Refusal::Source)?.rsplit(',') {
                client = address(hop.trim()).ok_or(Refusal::Source)?.to_canonical();
                if !listed(&self.trusted_proxies, client) {
                    break;
                }
            }
        }
        if listed(allow_from, client) { Ok(()) } else { Err(Refusal::Source) }
    }

    /// Checks application, `Sign` and age; `now` is the time since the Unix epoch. Gives the clock skew that a right
    /// `Sign` reveals, in seconds, even where it is too large.
    pub(crate) fn verify(&self, query: Query, now: Duration) -> (Result<Verified, Refusal>, Option<f64>) {
        let Some(app) = query.sdk_app_id.and_then(|id| self.apps.get(&id)) else {
            return (Err(Refusal::App), None);
        };
        if app.tokens.is_empty() {
            return (Ok(Verified(query)), None);
        }
        let tokens = app.tokens.iter().map(ExposeSecret::expose_secret);
        let verified = signature::verify(&query, tokens, now, app.max_age);
        #[expect(clippy::cast_precision_loss, reason = "seconds of this century are exact in an f64")]
        let skew = query.request_time.map(|sent| now.as_secs_f64().floor() - sent as f64);
        match verified {
            Ok(()) => (Ok(Verified(query)), skew),
            Err(SignatureError::Sign) => (Err(Refusal::Sign), None),
            Err(SignatureError::Age) => (Err(Refusal::Age), skew),
        }
    }
}

/// The address of a hop; some proxies add the port.
fn address(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse::<SocketAddr>().ok().map(|hop| hop.ip());
    hop.parse().ok().or_else(with_port)
}
