//! Whose address a request comes from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap};
use ipnet::IpNet;

/// Stands for the address of a client that nobody told.
pub(super) const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The address of the client: the connection's peer, or what trusted proxies say of it. [`UNKNOWN`]
/// where the server does not tell its peers.
pub(super) fn address(trusted: &[IpNet], extensions: &Extensions, headers: &HeaderMap) -> IpAddr {
    let peer = peer(extensions).unwrap_or(UNKNOWN);
    // Each proxy adds the address that it saw at the end, so the last one that is none of ours is
    // the client's; what stands before it the client may have written itself.
    let hops = headers.get_all("x-forwarded-for").iter().rev();
    let mut hops = hops.flat_map(|value| value.to_str().unwrap_or("?").rsplit(','));
    let mut client = peer;
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
    trusted.iter().any(|network| network.contains(&address))
}

/// An address, with or without a port.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|text| text.parse().expect("a network")).collect();
        let mut extensions = Extensions::new();
        let peer: IpAddr = peer.parse().expect("an address");
        extensions.insert(ConnectInfo(SocketAddr::from((peer, 80))));
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().expect("a value"));
        }
        address(&trusted, &extensions, &headers).to_string()
    }

    #[test]
    fn only_a_trusted_peer_is_believed() {
        assert_eq!(client(&[], "10.0.0.1", &["1.1.1.1"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.2/32"], "10.0.0.1", &["1.1.1.1"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.1/32"], "10.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(client(&["10.0.0.0/8"], "::ffff:10.0.0.1", &["1.1.1.1:4711"]), "1.1.1.1");
    }

    #[test]
    fn the_last_hop_that_is_not_ours_counts() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(client(&trusted, "10.0.0.1", &["9.9.9.9, 1.1.1.1, 10.0.0.2"]), "1.1.1.1");
        assert_eq!(client(&trusted, "10.0.0.1", &["9.9.9.9", "1.1.1.1"]), "1.1.1.1");
        assert_eq!(client(&trusted, "10.0.0.1", &["10.0.0.3"]), "10.0.0.3");
        assert_eq!(client(&trusted, "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn nonsense_ends_the_search() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(client(&trusted, "10.0.0.1", &["1.1.1.1, nonsense"]), "10.0.0.1");
        assert_eq!(client(&trusted, "10.0.0.1", &["1.1.1.1, , 10.0.0.2"]), "10.0.0.2");
    }
}
