//! Which resolved addresses may be connected to.
//!
//! Judges one address at a time and nothing else: names, schemes and ports are `origin`'s
//! business, resolving is `resolve`'s. The ranges are those of the IANA special-purpose address
//! registries (RFC 6890 and its updates) plus the metadata services of the large clouds.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of destination a connection is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// An AI provider's API.
    Provider,
    /// A business service behind a route.
    Backend,
    /// A receiver of notifications.
    Webhook,
    /// A service that authenticates or authorises callers.
    RemoteAuth,
    /// A registry that lists backends or fetches keys.
    Registry,
    /// A picture or document that a caller names by its address.
    Media,
}

impl Class {
    /// Every class, for tests and tables.
    pub const ALL: [Class; 6] =
        [Class::Provider, Class::Backend, Class::Webhook, Class::RemoteAuth, Class::Registry, Class::Media];

    /// The class in error texts and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Backend => "backend",
            Self::Webhook => "webhook",
            Self::RemoteAuth => "remote-auth",
            Self::Registry => "registry",
            Self::Media => "media",
        }
    }
}

/// A destination that may not be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    class: Class,
    reason: String,
}

impl Denied {
    pub(crate) fn new(class: Class, reason: impl Into<String>) -> Self {
        Self { class, reason: reason.into() }
    }

    /// The class of destination that was refused.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} destination denied: {}", self.class.name(), self.reason)
    }
}

impl std::error::Error for Denied {}

/// Judges one resolved address. `allow_private` admits loopback, private, shared (100.64/10) and
/// unique-local ranges; link-local and metadata addresses, multicast, broadcast, unspecified,
/// documentation and reserved ranges are never admitted.
///
/// # Errors
/// `Denied` names the class, the address and the kind of range it lies in.
pub fn check_address(class: Class, allow_private: bool, ip: IpAddr) -> Result<(), Denied> {
    match judge(ip) {
        Range::Public => Ok(()),
        Range::Private(_) if allow_private => Ok(()),
        Range::Private(kind) => {
            Err(Denied::new(class, format!("{ip} is a {kind} address and allow_private is off")))
        }
        Range::Never(kind) => Err(Denied::new(class, format!("{ip} is a {kind} address"))),
    }
}

/// What an address is good for; the text names its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    Public,
    Private(&'static str),
    Never(&'static str),
}

fn judge(ip: IpAddr) -> Range {
    match ip {
        IpAddr::V4(ip) => judge_v4(ip),
        IpAddr::V6(ip) => judge_v6(ip),
    }
}

fn judge_v4(ip: Ipv4Addr) -> Range {
    if let Some(range) = cloud_metadata_v4(ip) {
        return range;
    }
    match ip.octets() {
        [0, ..] => Range::Never("unspecified (0.0.0.0/8)"),
        [169, 254, ..] => Range::Never("link-local"),
        [127, ..] => Range::Private("loopback"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Range::Private("private"),
        [100, 64..=127, ..] => Range::Private("shared (carrier-grade NAT)"),
        [192, 0, 0, _] => Range::Never("protocol assignment (192.0.0.0/24)"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Range::Never("documentation"),
        [192, 88, 99, _] => Range::Never("6to4 relay"),
        [198, 18..=19, ..] => Range::Never("benchmarking"),
        [255, 255, 255, 255] => Range::Never("broadcast"),
        [224..=239, ..] => Range::Never("multicast"),
        [240..=255, ..] => Range::Never("reserved"),
        _ => Range::Public,
    }
}

/// Metadata services that lie outside 169.254/16 and would otherwise pass as public or shared.
fn cloud_metadata_v4(ip: Ipv4Addr) -> Option<Range> {
    let known = match ip.octets() {
        // Azure's platform address, reachable from every virtual machine.
        [168, 63, 129, 16] => true,
        // Alibaba Cloud.
        [100, 100, 100, 200] => true,
        _ => false,
    };
    known.then_some(Range::Never("cloud metadata"))
}

fn judge_v6(ip: Ipv6Addr) -> Range {
    if ip.is_unspecified() {
        return Range::Never("unspecified");
    }
    if ip.is_loopback() {
        return Range::Private("loopback");
    }
    if let Some(embedded) = ip.to_ipv4_mapped() {
        return judge_v4(embedded);
    }
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, ..] => Range::Never("IPv4-compatible"),
        // RFC 6052: an IPv6-only network reaches IPv4 through this prefix, so the IPv4 address decides.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => judge_v4(join(high, low)),
        [0x64, 0xff9b, 1, ..] => Range::Never("local NAT64"),
        // AWS (fd00:ec2::/32) and Google Cloud (fd20:ce::254) serve metadata from unique-local addresses.
        [0xfd00, 0x0ec2, ..] | [0xfd20, 0x00ce, ..] => Range::Never("cloud metadata"),
        [0xfc00..=0xfdff, ..] => Range::Private("unique-local"),
        [0xfe80..=0xfebf, ..] => Range::Never("link-local"),
        [0xfec0..=0xfeff, ..] => Range::Never("site-local"),
        [0xff00..=0xffff, ..] => Range::Never("multicast"),
        [0x2002, ..] => Range::Never("6to4"),
        [0x2001, 0, ..] => Range::Never("Teredo"),
        [0x2001, 1..=0x1ff, ..] => Range::Never("protocol assignment (2001::/23)"),
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Range::Never("documentation"),
        // RFC 5214: an ISATAP interface identifier carries an IPv4 address to tunnel to.
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => Range::Never("ISATAP"),
        [0x2000..=0x3fff, ..] => Range::Public,
        _ => Range::Never("reserved"),
    }
}

fn join(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ip: &str, default: bool, with_private: bool) {
        let ip: IpAddr = ip.parse().unwrap();
        for class in Class::ALL {
            assert_eq!(check_address(class, false, ip).is_ok(), default, "{ip} by default");
            assert_eq!(check_address(class, true, ip).is_ok(), with_private, "{ip} with allow_private");
        }
    }

    #[test]
    fn admits_public_addresses() {
        for ip in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "169.253.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860::8888",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            check(ip, true, true);
        }
    }

    #[test]
    fn admits_private_ranges_only_when_allowed() {
        for ip in [
            "127.0.0.1",
            "127.255.255.255",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "::1",
            "fc00::1",
            "fdff::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "::ffff:7f00:1",
        ] {
            check(ip, false, true);
        }
    }

    #[test]
    fn never_admits_special_ranges() {
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.0.1",
            "169.254.169.254",
            "169.254.170.2",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::7f00:1",
            "::8.8.8.8",
            "::ffff:169.254.169.254",
            "::ffff:0.0.0.0",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "2002:7f00:1::",
            "2002:808:808::1",
            "2001::1",
            "2001:10::1",
            "2001:2::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "5f00::1",
            "4000::1",
            "::ffff:0:127.0.0.1",
            "2a00::5efe:127.0.0.1",
            "2a00::200:5efe:7f00:1",
        ] {
            check(ip, false, false);
        }
    }

    #[test]
    fn says_which_class_and_why() {
        let denied = check_address(Class::Webhook, true, "169.254.169.254".parse().unwrap()).unwrap_err();
        assert_eq!(denied.to_string(), "webhook destination denied: 169.254.169.254 is a link-local address");
        assert_eq!(denied.class(), Class::Webhook);
    }
}
