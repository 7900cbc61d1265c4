//! Whose an address is.

use std::net::{IpAddr, Ipv6Addr};

/// What stands for all the addresses of one subscriber: of version 6 that is a whole network, a /64 (RFC 6177 section 2), of
/// version 4 the address itself.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}
