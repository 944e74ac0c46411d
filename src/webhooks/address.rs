//! Where endpoints may be. A server that fetches whatever it is told would fetch from inside the hospital for somebody
//! outside (server-side request forgery); so only public addresses are called, unless the operator says otherwise. Pure.

use crate::meetings::Flaw;
use reqwest::Url;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Long enough for every sensible address with a token in it.
pub const URL_LEN_MAX: usize = 2_048;

/// How far the operator lets events go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// To public addresses.
    Public,
    /// And to private ones and this host.
    Private,
}

impl Reach {
    /// Link-local addresses never: what clouds tell their machines in confidence is there.
    pub fn covers(self, address: IpAddr) -> bool {
        let address = inner(address);
        match self {
            Self::Public => is_public(address),
            Self::Private => is_public(address) || is_private(address),
        }
    }
}

/// HTTPS; HTTP to this host alone, and only where that may be called.
pub fn check_url(text: &str, reach: Reach) -> Result<Url, Flaw> {
    let refuse = |reason| Err(Flaw::new("url", reason));
    if text.len() > URL_LEN_MAX {
        return refuse("A URL has at most 2048 characters.");
    }
    let Ok(url) = Url::parse(text) else { return refuse("A URL like https://host/path.") };
    let Some(host) = url.host_str() else { return refuse("A URL like https://host/path.") };
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return refuse("A URL without user, password and fragment.");
    }
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let is_this_host = host == "localhost" || literal.is_some_and(|address| inner(address).is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if is_this_host && reach == Reach::Private => {}
        _ => return refuse("Events are sent over https; over http to this host alone, where the server permits that."),
    }
    let is_reached = match literal {
        Some(address) => reach.covers(address),
        // What names stand for is seen when they are called.
        None => host != "localhost" || reach == Reach::Private,
    };
    if !is_reached {
        return refuse(
            "This address is not public. The server's operator may permit that (webhooks.private_addresses).",
        );
    }
    Ok(url)
}

/// Of an IPv6 address that stands for an IPv4 one, that one: mapped, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn inner(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let word = v6.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match word {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        _ => address.to_canonical(),
    }
}

/// The IANA registries of special-purpose addresses (RFC 6890), as far as they are not globally reachable.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_unspecified()
                || is_private(address)
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (b == 18 || b == 19)))
        }
        IpAddr::V6(v6) => {
            // Global unicast is 2000::/3, of which 2001::/23 is for protocols and 2001:db8::/32 for books.
            let [first, second, ..] = v6.segments();
            first & 0xe000 == 0x2000 && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
        }
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback(),
        IpAddr::V6(v6) => v6 == Ipv6Addr::LOCALHOST || v6.segments()[0] & 0xfe00 == 0xfc00,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_reached_unless_others_are_permitted() {
        let public = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"];
        let private = ["10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "::1", "fd00::1", "::ffff:127.0.0.1"];
        let private = [&private[..], &["64:ff9b::7f00:1", "2002:a00:1::"]].concat();
        let never = ["169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "100.64.0.1"];
        let never =
            [&never[..], &["192.0.2.1", "198.18.0.1", "2001:db8::1", "ff02::1", "::ffff:169.254.169.254"]].concat();
        let covers = |reach: Reach, text: &str| reach.covers(text.parse().unwrap());
        for address in public {
            assert!(covers(Reach::Public, address) && covers(Reach::Private, address), "{address}");
        }
        for address in private {
            assert!(!covers(Reach::Public, address) && covers(Reach::Private, address), "{address}");
        }
        for address in never {
            assert!(!covers(Reach::Public, address) && !covers(Reach::Private, address), "{address}");
        }
    }

    #[test]
    fn a_url_is_https_and_names_a_host_that_may_be_called() {
        for good in ["https://hooks.example.org/a?b=c", "https://8.8.8.8:8443/", "https://[2606:4700::1111]/"] {
            assert!(check_url(good, Reach::Public).is_ok(), "{good}");
        }
        for inside in
            ["http://127.0.0.1:9/", "http://localhost/", "http://[::1]/", "https://10.0.0.1/", "https://127.1/"]
        {
            assert!(check_url(inside, Reach::Public).is_err(), "{inside}");
            assert!(check_url(inside, Reach::Private).is_ok(), "{inside}");
        }
        for bad in [
            "",
            "hooks",
            "http://hooks.example.org/",
            "http://10.0.0.1/",
            "ftp://hooks.example.org/",
            "https://u:p@hooks.example.org/",
            "https://hooks.example.org/#x",
            "https://169.254.169.254/",
            "https://0x7f.1:1/\u{0}#",
            &format!("https://hooks.example.org/{}", "x".repeat(3_000)),
        ] {
            assert!(check_url(bad, Reach::Private).is_err(), "{bad}");
        }
    }
}
