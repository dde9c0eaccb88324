//! The network that a request came from, as coarse as blame can be laid: an IPv4 /24 or an IPv6 /64.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The first three bytes of an IPv4 address.
    V4([u8; 3]),
    /// The first eight bytes of an IPv6 address.
    V6([u8; 8]),
}

impl Source {
    /// The network of an address; one that is IPv4 within IPv6 is IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(address) => {
                let mut prefix = [0; 8];
                prefix.copy_from_slice(&address.octets()[..8]);
                Self::V6(prefix)
            }
        }
    }

    /// As the log keeps it.
    pub(super) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        match self {
            Self::V4(prefix) => {
                bytes[0] = 4;
                bytes[1..4].copy_from_slice(&prefix);
            }
            Self::V6(prefix) => {
                bytes[0] = 6;
                bytes[1..9].copy_from_slice(&prefix);
            }
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        match bytes {
            [4, a, b, c, ..] => Some(Self::V4([a, b, c])),
            [6, a, b, c, d, e, f, g, h, ..] => Some(Self::V6([a, b, c, d, e, f, g, h])),
            _ => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4([a, b, c]) => write!(f, "{}/24", Ipv4Addr::new(a, b, c, 0)),
            Self::V6(prefix) => {
                let mut octets = [0; 16];
                octets[..8].copy_from_slice(&prefix);
                write!(f, "{}/64", Ipv6Addr::from(octets))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_are_one_source() {
        for (address, network) in [
            ("203.0.113.9", "203.0.113.0/24"),
            ("::ffff:203.0.113.200", "203.0.113.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ] {
            let source = Source::of(address.parse().expect("an address"));
            assert_eq!(source.to_string(), network);
            assert_eq!(Source::from_bytes(source.to_bytes()), Some(source));
        }
        assert_eq!(Source::from_bytes([0; 16]), None);
    }
}
