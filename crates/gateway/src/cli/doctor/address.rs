//! Whether the host has addresses that Chat can reach, and somebody takes connections there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use chathook_simulator::Target;
use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::LIMIT;
use super::finding::{Finding, Findings};

/// Looks the host up.
pub(super) async fn resolve(target: &Target, findings: &mut Findings) -> Vec<SocketAddr> {
    const CHECK: &str = "addresses";
    let addresses = match timeout(LIMIT, target.resolve()).await {
        Ok(Ok(addresses)) => addresses,
        failed => {
            let problem = match failed {
                Ok(Err(error)) => error.to_string(),
                _ => format!("{} has no answer to the look-up within {LIMIT:?}", target.host()),
            };
            let advice = "Chat looks the host up in the public DNS: add an A record, or mend the name in the console.";
            findings.note(Finding::wrong(CHECK, problem).advise(advice));
            return Vec::new();
        }
    };
    let list: Vec<_> = addresses.iter().map(|address| describe(address.ip())).collect();
    let list = list.join(", ");
    findings.note(match addresses.iter().any(|address| kind(address.ip()).is_some()) {
        false => Finding::ok(CHECK, list),
        true => Finding::warning(CHECK, list).advise(
            "Chat comes from the internet, and reaches public addresses only. Where this machine looks names up in \
             another way than the internet does, ask the public DNS.",
        ),
    });
    addresses
}

/// Connects to every address. Gives those that take connections.
pub(super) async fn connect(addresses: &[SocketAddr], findings: &mut Findings) -> Vec<SocketAddr> {
    const CHECK: &str = "connect";
    let tried = join_all(addresses.iter().map(|address| async move {
        let began = Instant::now();
        let connected = timeout(LIMIT, TcpStream::connect(address)).await;
        (*address, connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map(|_| began.elapsed()))
    }));
    let tried = tried.await;
    let open: Vec<_> = tried.iter().filter(|(_, tried)| tried.is_ok()).map(|(address, _)| *address).collect();
    for (address, tried) in tried {
        findings.note(match tried {
            Ok(took) => Finding::ok(CHECK, format!("{address} in {}", millis(took))),
            Err(error) => no_connection(CHECK, address, &error, open.is_empty()),
        });
    }
    open
}

fn no_connection(check: &'static str, address: SocketAddr, error: &io::Error, nobody_else: bool) -> Finding {
    let no_route = matches!(
        error.kind(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::AddrNotAvailable
    );
    let found = match error.kind() {
        io::ErrorKind::TimedOut => format!("{address}: no answer within {LIMIT:?}"),
        _ => format!("{address}: {error}"),
    };
    let advice = match error.kind() {
        io::ErrorKind::TimedOut => {
            format!("A firewall drops what comes: let port {} in from the internet.", address.port())
        }
        io::ErrorKind::ConnectionRefused => {
            "Nobody listens there: is the server up, and is the port the one that it listens on?".to_owned()
        }
        _ if no_route => "This machine may have no way there; look from another one.".to_owned(),
        _ => "See that the address and the port are right.".to_owned(),
    };
    // Chat may take any of the addresses; those that only this machine has are none of its.
    let is_wrong = nobody_else || (!no_route && kind(address.ip()).is_none());
    match is_wrong {
        true => Finding::wrong(check, found).advise(advice),
        false => Finding::warning(check, found).advise(advice),
    }
}

fn describe(address: IpAddr) -> String {
    match kind(address) {
        Some(kind) => format!("{address} ({kind})"),
        None => address.to_string(),
    }
}

/// What an address is that the internet does not reach.
fn kind(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

fn kind_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [first, second, ..] = address.octets();
    if address.is_loopback() {
        Some("loopback")
    } else if address.is_private() {
        Some("private")
    } else if address.is_link_local() {
        Some("link-local")
    } else if first == 100 && (64..128).contains(&second) {
        Some("behind the provider's NAT")
    } else if address.is_documentation() {
        Some("for documentation")
    } else if first == 0 || first >= 224 {
        Some("no host's")
    } else {
        None
    }
}

fn kind_v6(address: Ipv6Addr) -> Option<&'static str> {
    let [first, second, ..] = address.segments();
    if address.is_loopback() {
        Some("loopback")
    } else if address.is_unique_local() {
        Some("private")
    } else if address.is_unicast_link_local() {
        Some("link-local")
    } else if first == 0x2001 && second == 0xdb8 {
        Some("for documentation")
    } else if address.is_unspecified() || address.is_multicast() {
        Some("no host's")
    } else {
        None
    }
}

pub(super) fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::kind;

    #[test]
    fn addresses_that_the_internet_does_not_reach_are_known() {
        for (address, expected) in [
            ("8.8.8.8", None),
            ("2606:4700::1111", None),
            ("127.0.0.1", Some("loopback")),
            ("::1", Some("loopback")),
            ("::ffff:10.1.2.3", Some("private")),
            ("172.16.0.1", Some("private")),
            ("fd00::1", Some("private")),
            ("169.254.1.1", Some("link-local")),
            ("fe80::1", Some("link-local")),
            ("100.100.0.1", Some("behind the provider's NAT")),
            ("100.128.0.1", None),
            ("203.0.113.7", Some("for documentation")),
            ("2001:db8::1", Some("for documentation")),
            ("0.0.0.0", Some("no host's")),
            ("255.255.255.255", Some("no host's")),
        ] {
            assert_eq!(kind(address.parse().unwrap()), expected, "{address}");
        }
    }
}
