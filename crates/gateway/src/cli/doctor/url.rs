//! Whether the console takes the URL.
//!
//! Docs: trtc.io/document/34520. A public domain of letters, digits and hyphens, at most 63 characters, without a hyphen
//! at either end or two in a row; or a public address. 80 and 443 unless the URL has a port. No `!`, `$`, `&`, `?` or
//! blank. While a URL is replaced, the ports of the old and the new one must not begin alike.

use std::net::IpAddr;

use chathook_simulator::Target;

use super::finding::{Finding, Findings};

const CHECK: &str = "url";

/// No domain is longer.
const LONGEST_DOMAIN: usize = 63;

const USE_HTTPS: &str = "Sign does not cover the body: who sits in between reads everything, and can send whatever they \
                         like for a minute. Use https.";

const MIXED_UP: &str = "If it replaces a URL whose port begins alike (443 and 4433, 80 and 8080), save one with another \
                        port first: the console mixes them up.";

/// Reads the URL, and says what the console would not take.
pub(super) fn read(url: &str, findings: &mut Findings) -> Option<Target> {
    let target = match Target::parse(url) {
        Ok(target) => target,
        Err(error) => {
            let advice = "Write it as in the console: https://, the host, perhaps a port and a path, and no query.";
            findings.note(Finding::wrong(CHECK, error.to_string()).advise(advice));
            return None;
        }
    };
    if let Some(problem) = host_problem(target.host()) {
        let finding = Finding::wrong(CHECK, format!("the console does not take the host {}: {problem}", target.host()));
        findings.note(finding.advise("Give the server a domain of letters, digits and single hyphens."));
        return Some(target);
    }
    if let Some(odd) = target.path().chars().find(|it| "!$&".contains(*it)) {
        let finding = Finding::wrong(CHECK, format!("the console does not take `{odd}` in the path"));
        findings.note(finding.advise("Use letters, digits, hyphens and slashes."));
        return Some(target);
    }
    let found = format!("{target}, port {}", target.port());
    findings.note(match target.is_https() {
        false => Finding::warning(CHECK, format!("{found}; not https")).advise(match is_mixed_up(target.port()) {
            true => format!("{USE_HTTPS} {MIXED_UP}"),
            false => USE_HTTPS.to_owned(),
        }),
        true if is_mixed_up(target.port()) => Finding::ok(CHECK, found).advise(MIXED_UP),
        true => Finding::ok(CHECK, found),
    });
    Some(target)
}

/// Why a host cannot be entered.
fn host_problem(host: &str) -> Option<&'static str> {
    match host.parse() {
        Ok(IpAddr::V4(_)) => return None,
        Ok(IpAddr::V6(_)) => return Some("an IPv6 address has colons, and a host letters, digits and hyphens only"),
        Err(_) => {}
    }
    if host.len() > LONGEST_DOMAIN {
        return Some("it has more than 63 characters");
    }
    if host.contains("--") {
        return Some("it has two hyphens in a row");
    }
    if host.split('.').any(|label| label.is_empty() || label.starts_with('-') || label.ends_with('-')) {
        return Some("one of its parts is empty, or begins or ends with a hyphen");
    }
    if host.rsplit('.').next().is_some_and(is_number) {
        return Some("it is an address in an unusual spelling; four decimal numbers are a usual one");
    }
    let is_allowed = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '.';
    (!host.chars().all(is_allowed)).then_some("it has something besides letters, digits and hyphens")
}

/// Whether it is a number, as the last part of an address is, and that of a domain never: 1, 0x7f.
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.chars().all(|it| it.is_ascii_hexdigit()),
        None => label.chars().all(|it| it.is_ascii_digit()),
    }
}

/// Whether a usual port begins as this one does, or the other way round.
fn is_mixed_up(port: u16) -> bool {
    let port = port.to_string();
    ["80", "443"].iter().any(|usual| port != *usual && (port.starts_with(usual) || usual.starts_with(&port)))
}

#[cfg(test)]
mod tests {
    use super::super::finding::{Findings, Level};
    use super::{host_problem, is_mixed_up, read};

    #[test]
    fn hosts_are_those_that_the_console_takes() {
        for host in ["chat.example.com", "a", "CHAT-1.example.com", "203.0.113.7"] {
            assert_eq!(host_problem(host), None, "{host}");
        }
        let long = format!("{}.example.com", "a".repeat(60));
        for host in
            ["my_chat.example.com", "xn--bcher-kva.example", "-a.example", "a-.example", "a..b", "2001:db8::1", &long]
        {
            assert!(host_problem(host).is_some(), "{host}");
        }
        for host in ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "0X7F000001", "1.2.3.4.5"] {
            assert!(host_problem(host).is_some_and(|problem| problem.contains("unusual spelling")), "{host}");
        }
    }

    #[test]
    fn ports_that_begin_as_the_usual_ones_are_known() {
        for (port, expected) in [(443, false), (80, false), (4433, true), (8080, true), (8443, false), (44, true)] {
            assert_eq!(is_mixed_up(port), expected, "{port}");
        }
    }

    #[test]
    fn mixed_up_ports_are_told_of_http_too() {
        for (url, expected) in [
            ("http://a.example:8080/", true),
            ("http://a.example:81/", false),
            ("http://a.example/", false),
            ("https://a.example:4433/", true),
        ] {
            let mut findings = Findings::new(url.to_owned(), true);
            read(url, &mut findings);
            let advice = findings.findings[0].advice.clone().unwrap_or_default();
            assert_eq!(advice.contains("mixes them up"), expected, "{url}: {advice}");
            assert_eq!(advice.contains("Use https"), url.starts_with("http:"), "{url}: {advice}");
        }
    }

    #[test]
    fn each_url_gets_one_finding() {
        for (url, level, is_read) in [
            ("https://chat.example.com/callback", Level::Ok, true),
            ("https://chat.example.com:4433/", Level::Ok, true),
            ("http://chat.example.com/", Level::Warning, true),
            ("https://my_chat.example.com/", Level::Wrong, true),
            ("https://chat.example.com/a$b", Level::Wrong, true),
            ("https://chat.example.com/?a=b", Level::Wrong, false),
            ("chat.example.com", Level::Wrong, false),
        ] {
            let mut findings = Findings::new(url.to_owned(), true);
            assert_eq!(read(url, &mut findings).is_some(), is_read, "{url}");
            let levels: Vec<_> = findings.findings.iter().map(|finding| finding.level).collect();
            assert_eq!(levels, [level], "{url}");
        }
    }
}
