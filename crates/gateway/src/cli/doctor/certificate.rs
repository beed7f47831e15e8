//! The certificates that a server shows: chain, name and dates.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use rustls_platform_verifier::Verifier;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use super::finding::{Finding, Findings};
use crate::cli::backend::NoTls;
use crate::cli::sign::now;
use crate::tls::certificates;

/// A certificate that has no longer to live needs somebody's attention.
const RENEW_BEFORE: Duration = Duration::from_hours(14 * 24);

const DAY: i64 = 24 * 60 * 60;

/// Whom to trust.
pub(super) struct Trust {
    verifier: Arc<dyn ServerCertVerifier>,
    /// The authorities are somebody's own.
    is_private: bool,
}

impl Trust {
    /// Trusts the authorities in the file `ca`, else those whom the system trusts.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let Some(file) = ca else {
            let verifier = Verifier::new(provider).map_err(|error| error.to_string())?;
            return Ok(Self { verifier: Arc::new(verifier), is_private: false });
        };
        let unusable = |problem: String| format!("--ca {}: {problem}", file.display());
        let mut roots = RootCertStore::empty();
        for root in certificates("--ca", file).map_err(|error| format!("--ca {}", error.problem))? {
            roots.add(root).map_err(|error| unusable(error.to_string()))?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self { verifier: verifier.map_err(|error| unusable(error.to_string()))?, is_private: true })
    }
}

/// Looks at what a server has shown for `name`.
pub(super) fn check(shown: &[CertificateDer<'_>], name: &ServerName<'_>, trust: &Trust, findings: &mut Findings) {
    let unreadable = || Finding::wrong("chain", "the server's certificate cannot be read");
    let Some((own, others)) = shown.split_first() else { return findings.note(unreadable()) };
    let Ok((_, certificate)) = X509Certificate::from_der(own) else { return findings.note(unreadable()) };
    let validity = certificate.validity();
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let now = i64::try_from(now()).unwrap_or(i64::MAX);
    // Where its own dates are wrong, that is one thing to say, and whether it is trusted another.
    let at = u64::try_from(now.clamp(from.min(until), until)).unwrap_or_default();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
    let verified = trust.verifier.verify_server_cert(own, others, name, &[], at).map(drop);
    findings.note(chain(verified, &certificate, others, trust.is_private));
    findings.note(host(own, &certificate, name));
    findings.note(dates(from, until, now));
}

/// Whether the certificates lead to somebody who is trusted.
fn chain(
    verified: Result<(), Error>,
    certificate: &X509Certificate<'_>,
    others: &[CertificateDer<'_>],
    is_private: bool,
) -> Finding {
    const CHECK: &str = "chain";
    const FULL_CHAIN: &str = "Give the server the certificates between its own and the root as well: the file that \
                              authorities call fullchain.pem.";
    let issuer = called(certificate.issuer());
    let sent = match others.len() {
        0 => "and no other certificate is sent".to_owned(),
        others => format!("{} certificates are sent", others + 1),
    };
    match verified {
        // The name has a finding of its own.
        Ok(())
        | Err(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => {
            let finding = Finding::ok(CHECK, format!("trusted; issued by {issuer}, {sent}"));
            match is_private {
                true => finding.advise("That is so with --ca. Chat trusts public authorities only."),
                false => finding,
            }
        }
        Err(error) if certificate.issuer() == certificate.subject() => {
            const PUBLIC: &str = "Chat trusts public authorities only: get a certificate from one.";
            let found = format!("signed by itself ({issuer})");
            match NoTls::of_tls(&error) {
                Some(reason) => {
                    Finding::wrong(CHECK, format!("{found}; {reason}")).advise(format!("{PUBLIC} {}", reason.advice()))
                }
                None => Finding::wrong(CHECK, found).advise(PUBLIC),
            }
        }
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            if others.is_empty() {
                let found = format!("not trusted: issued by {issuer}, {sent}");
                let advice = match issuers_url(certificate) {
                    Some(url) => format!("{FULL_CHAIN} The missing one is at {url}"),
                    None => format!("{FULL_CHAIN} If {issuer} is an authority of your own, Chat does not trust it."),
                };
                return Finding::wrong(CHECK, found).advise(advice);
            }
            let last = others.last().and_then(|last| X509Certificate::from_der(last).ok());
            let last = last.map_or(issuer, |(_, last)| called(last.issuer()));
            Finding::wrong(CHECK, format!("not trusted: it leads to {last}, whom nobody knows; {sent}")).advise(format!(
                "If {last} is an authority of your own, Chat does not trust it: get a certificate from a public one. \
                 {FULL_CHAIN}"
            ))
        }
        Err(Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        )) => Finding::wrong(CHECK, format!("one of the certificates between it and the root has expired; {sent}"))
            .advise("Take the current ones from the authority together with a new certificate."),
        Err(error) => Finding::wrong(CHECK, format!("not trusted: {error}; issued by {issuer}, {sent}"))
            .advise("Get a certificate for servers from a public authority."),
    }
}

/// Whether the certificate is for the host of the URL.
fn host(own: &CertificateDer<'_>, certificate: &X509Certificate<'_>, name: &ServerName<'_>) -> Finding {
    const CHECK: &str = "certificate name";
    let names = names(certificate);
    let is_for_host = ParsedCertificate::try_from(own).and_then(|own| verify_server_name(&own, name));
    match (is_for_host, names.is_empty()) {
        (Ok(()), _) => Finding::ok(CHECK, format!("for {names}")),
        (Err(_), true) => Finding::wrong(CHECK, "for no host: it has no alternative names")
            .advise("Get a certificate with the host of the URL among its alternative names."),
        (Err(_), false) => Finding::wrong(CHECK, format!("for {names}; not for {}", name.to_str()))
            .advise("Get a certificate for the host of the URL, or enter the host that the certificate is for."),
    }
}

/// Whether the certificate is valid now, and for how long.
fn dates(from: i64, until: i64, now: i64) -> Finding {
    const CHECK: &str = "expiry";
    let days = until.saturating_sub(now) / DAY;
    if now < from {
        Finding::wrong(CHECK, format!("valid from {} on, not yet", date(from)))
            .advise("Are the clocks of this machine and of the authority right?")
    } else if now > until {
        Finding::wrong(CHECK, format!("expired on {}", date(until)))
            .advise("Renew the certificate, and have the server read it.")
    } else if until.saturating_sub(now).unsigned_abs() < RENEW_BEFORE.as_secs() {
        Finding::warning(CHECK, format!("expires in {days} days, on {}", date(until)))
            .advise("Renew the certificate, and find out why that was not done by itself.")
    } else {
        Finding::ok(CHECK, format!("valid until {}, {days} days", date(until)))
    }
}

/// The hosts and addresses that a certificate is for.
fn names(certificate: &X509Certificate<'_>) -> String {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.iter()).into_iter().flatten();
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    });
    names.collect::<Vec<_>>().join(", ")
}

/// Where the issuer's own certificate can be had.
fn issuers_url(certificate: &X509Certificate<'_>) -> Option<String> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(access) => access
            .iter()
            .filter(|description| description.access_method == OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS)
            .find_map(|description| match description.access_location {
                GeneralName::URI(url) => Some(url.to_owned()),
                _ => None,
            }),
        _ => None,
    })
}

/// The common name, else the whole.
fn called(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().find_map(|name| name.as_str().ok());
    common.map_or_else(|| name.to_string(), str::to_owned)
}

fn date(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).map_or_else(|| seconds.to_string(), |date| date.date_naive().to_string())
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::{DAY, dates};

    #[test]
    fn a_certificate_is_to_be_renewed_two_weeks_before_it_expires() {
        let day = |day: i64| 1_700_000_000 + day * DAY;
        for (from, until, expected) in [
            (day(-1), day(90), Level::Ok),
            (day(-1), day(14), Level::Ok),
            (day(-1), day(14) - 1, Level::Warning),
            (day(-1), day(0), Level::Warning),
            (day(-90), day(0) - 1, Level::Wrong),
            (day(1), day(90), Level::Wrong),
        ] {
            assert_eq!(dates(from, until, day(0)).level, expected, "{from} to {until}");
        }
    }
}
