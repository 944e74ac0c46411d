//! Which addresses a worker's descriptions advertise: host candidates of RFC 8445 section 5.1.1.1.

use crate::config::StartError;
use crate::handle::IceCandidate;
use std::net::{IpAddr, SocketAddr};

/// Most candidates of one worker. A host with many bridges and tunnels has more addresses than a client can usefully
/// check: RFC 8445 section 6.1.2.5 limits a client to 100 pairs.
pub(crate) const CANDIDATES_MAX: usize = 16;
/// RFC 8445 section 5.1.2.1: the recommended preference of host candidates.
const HOST_TYPE_PREFERENCE: u32 = 126;
/// RTP and RTCP share one component (RFC 5761).
const COMPONENT: u32 = 1;

/// RFC 8445 section 5.1.2.1. `rank` 0 is preferred.
fn priority(rank: usize) -> u32 {
    let local_preference = u32::from(u16::MAX) - rank.min(usize::from(u16::MAX)) as u32;
    (HOST_TYPE_PREFERENCE << 24) + (local_preference << 8) + (256 - COMPONENT)
}

/// The candidates of the sockets bound to `bound`, most preferred first.
pub(crate) fn candidates(
    bound: &[SocketAddr],
    advertise: &[IpAddr],
    interfaces: &[IpAddr],
) -> Result<Vec<IceCandidate>, StartError> {
    let port_for = |ip: IpAddr| bound.iter().find(|socket| socket.is_ipv4() == ip.is_ipv4()).map(SocketAddr::port);
    let mut addresses = Vec::new();
    if advertise.is_empty() {
        bound.iter().for_each(|socket| addresses.extend(of_socket(*socket, interfaces)));
        // RFC 8421 section 4: IPv6 before IPv4. The sort is stable, so interfaces keep the system's order.
        addresses.sort_by_key(SocketAddr::is_ipv4);
    } else {
        for &ip in advertise {
            let port = port_for(ip).ok_or(StartError::AdvertisedFamily { address: ip })?;
            addresses.push(SocketAddr::new(ip, port));
        }
    }
    addresses.truncate(CANDIDATES_MAX);
    if addresses.is_empty() {
        return Err(StartError::NoCandidate);
    }
    let numbered = addresses.into_iter().enumerate();
    Ok(numbered.map(|(rank, address)| IceCandidate { address, priority: priority(rank) }).collect())
}

fn of_socket(socket: SocketAddr, interfaces: &[IpAddr]) -> Vec<SocketAddr> {
    if !socket.ip().is_unspecified() {
        return vec![socket];
    }
    let same_version = |ip: &&IpAddr| ip.is_ipv4() == socket.is_ipv4();
    let (loopback, others): (Vec<&IpAddr>, Vec<&IpAddr>) =
        interfaces.iter().filter(same_version).partition(|ip| ip.is_loopback());
    let routable: Vec<&IpAddr> = others.into_iter().filter(|ip| !is_link_local(ip)).collect();
    // Loopback serves only who has nothing else, such as a laptop without a network.
    let nothing_else = !interfaces.iter().any(|ip| !ip.is_loopback() && !is_link_local(ip));
    let chosen = if routable.is_empty() && nothing_else { loopback } else { routable };
    chosen.into_iter().map(|ip| SocketAddr::new(*ip, socket.port())).collect()
}

/// Needs a scope that a candidate line cannot carry (RFC 8839 section 5.1), or is not reachable beyond the link.
fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bound: &[&str], advertise: &[&str], interfaces: &[&str], want: &[&str]) {
        let bound: Vec<SocketAddr> = bound.iter().map(|s| s.parse().unwrap()).collect();
        let advertise: Vec<IpAddr> = advertise.iter().map(|s| s.parse().unwrap()).collect();
        let interfaces: Vec<IpAddr> = interfaces.iter().map(|s| s.parse().unwrap()).collect();
        let got = candidates(&bound, &advertise, &interfaces).unwrap();
        let addresses: Vec<String> = got.iter().map(|c| c.address.to_string()).collect();
        assert_eq!(addresses, want);
        assert!(got.windows(2).all(|pair| pair[0].priority > pair[1].priority));
    }

    const HOST: &[&str] = &["127.0.0.1", "10.0.0.5", "::1", "fe80::1", "2001:db8::5", "169.254.3.3"];

    #[test]
    fn a_wildcard_socket_advertises_every_routable_address() {
        check(&["0.0.0.0:7882", "[::]:7882"], &[], HOST, &["[2001:db8::5]:7882", "10.0.0.5:7882"]);
    }

    #[test]
    fn a_bound_address_is_the_only_candidate() {
        check(&["127.0.0.1:9", "[::1]:8"], &[], HOST, &["[::1]:8", "127.0.0.1:9"]);
        check(&["10.0.0.5:9"], &[], HOST, &["10.0.0.5:9"]);
    }

    #[test]
    fn loopback_is_advertised_when_nothing_else_exists() {
        check(&["0.0.0.0:1", "[::]:2"], &[], &["127.0.0.1", "::1", "fe80::1"], &["[::1]:2", "127.0.0.1:1"]);
        check(&["0.0.0.0:1", "[::]:2"], &[], &["127.0.0.1", "::1", "10.0.0.5"], &["10.0.0.5:1"]);
    }

    #[test]
    fn configured_addresses_replace_the_hosts_own() {
        check(&["0.0.0.0:7882"], &["203.0.113.9"], HOST, &["203.0.113.9:7882"]);
    }

    #[test]
    fn an_advertised_address_without_a_socket_of_its_version_is_refused() {
        let bound = ["0.0.0.0:7882".parse().unwrap()];
        let error = candidates(&bound, &["2001:db8::9".parse().unwrap()], &[]).unwrap_err();
        assert!(error.to_string().contains("2001:db8::9"));
        assert!(matches!(candidates(&bound, &[], &[]), Err(StartError::NoCandidate)));
    }

    #[test]
    fn the_first_priority_is_that_of_the_standards_formula() {
        assert_eq!(priority(0), (1 << 24) * 126 + (1 << 8) * 65535 + 255);
    }
}
