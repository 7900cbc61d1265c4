//! Whose address a request comes from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Once;

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap};
use ipnet::IpNet;

/// Stands for the address of a client that nobody told.
pub(super) const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Once is enough, and whoever likes may send it.
static TOLD: Once = Once::new();

/// The address of the client: the connection's peer, or what trusted proxies say of it. [`UNKNOWN`]
/// where the server does not tell its peers.
pub(super) fn address(trusted: &[IpNet], extensions: &Extensions, headers: &HeaderMap) -> IpAddr {
    let peer = peer(extensions).unwrap_or(UNKNOWN);
    // Each proxy adds the address that it saw at the end, so the last one that is none of ours is
    // the client's; what stands before it the client may have written itself.
    let hops = headers.get_all("x-forwarded-for").iter().rev();
    let mut hops = hops.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    let mut client = peer;
    if !is_trusted(trusted, peer) && headers.contains_key("x-forwarded-for") {
        TOLD.call_once(|| {
            tracing::warn!(
                %peer,
                "X-Forwarded-For comes from an address that is not among trusted_proxies: if a proxy of yours is there, name it, or \
                 wrong passwords of one client keep out all of them"
            );
        });
    }
    while is_trusted(trusted, client) {
        match hops.next().and_then(parse) {
            Some(hop) => client = hop,
            None => break,
        }
    }
    client
}

/// Whether the request comes straight from a trusted proxy, whose headers can be believed.
pub(super) fn is_by_proxy(trusted: &[IpNet], extensions: &Extensions) -> bool {
    peer(extensions).is_some_and(|peer| is_trusted(trusted, peer))
}

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical())
}

fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    let mapped = match address {
        IpAddr::V4(address) => IpAddr::V6(address.to_ipv6_mapped()),
        address @ IpAddr::V6(_) => address,
    };
    // Networks may be written either way too (RFC 4291 section 2.5.5.2).
    trusted.iter().any(|network| network.contains(&address) || network.contains(&mapped))
}

/// An address, with or without a port, also in brackets, and without the zone that means something to one machine only.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip().to_canonical());
    }
    let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = inside.split_once('%').map_or(inside, |(address, _)| address);
    address.parse().ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|text| text.parse().expect("a network")).collect();
        let mut extensions = Extensions::new();
        let peer: IpAddr = peer.parse().expect("an address");
        extensions.insert(ConnectInfo(SocketAddr::from((peer, 80))));
        let mut headers = HeaderMap::new();
        for value in forwarded {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
            headers.append("x-forwarded-for", value);
        }
        address(&trusted, &extensions, &headers).to_string()
    }

    #[test]
    fn only_a_trusted_peer_is_believed() {
        assert_eq!(client(&[], "10.0.0.1", &["1.1.1.1"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.2/32"], "10.0.0.1", &["1.1.1.1"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.1/32"], "10.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(client(&["10.0.0.0/8"], "::ffff:10.0.0.1", &["1.1.1.1:4711"]), "1.1.1.1");
        assert_eq!(client(&["::ffff:10.0.0.0/104"], "10.0.0.1", &["1.1.1.1"]), "1.1.1.1");
    }

    #[test]
    fn the_last_hop_that_is_not_ours_counts() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(client(&trusted, "10.0.0.1", &["9.9.9.9, 1.1.1.1, 10.0.0.2"]), "1.1.1.1");
        assert_eq!(client(&trusted, "10.0.0.1", &["9.9.9.9", "1.1.1.1"]), "1.1.1.1");
        assert_eq!(client(&trusted, "10.0.0.1", &["10.0.0.3"]), "10.0.0.3");
        assert_eq!(client(&trusted, "10.0.0.1", &[]), "10.0.0.1");
        for version_6 in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443", "2001:db8::1%eth0"] {
            assert_eq!(client(&trusted, "10.0.0.1", &[version_6]), "2001:db8::1");
        }
    }

    #[test]
    fn nonsense_ends_the_search() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(client(&trusted, "10.0.0.1", &["1.1.1.1, nonsense"]), "10.0.0.1");
        assert_eq!(client(&trusted, "10.0.0.1", &["1.1.1.1, , 10.0.0.2"]), "10.0.0.2");
        // What the client wrote does not hide what the proxy says of it.
        assert_eq!(client(&trusted, "10.0.0.1", &["\u{ff}, 1.1.1.1"]), "1.1.1.1");
    }
}
