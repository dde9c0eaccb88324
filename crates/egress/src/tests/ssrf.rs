//! Destinations that must never be reached, counted at a socket.

use std::sync::Arc;

use super::{FakeResolver, Upstream, egress, get, target, text};
use crate::resolve::checked_addresses;
use crate::{Class, Egress, Origin, Phase, Pool, Target, Timers};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Hosts that lead to this machine, a private network or a metadata service when read or resolved
/// carelessly. `PORT` becomes the port of the listener that counts.
const ALWAYS_DENIED: &[&str] = &[
    "//2130706433:PORT",
    "//017700000001:PORT",
    "//0177.0.0.1:PORT",
    "//0x7f.1:PORT",
    "//0x7f000001:PORT",
    "//0x7f.0x0.0x0.0x1:PORT",
    "//127.1:PORT",
    "//127.0.1:PORT",
    "//127.0.0.01:PORT",
    "//0:PORT",
    "//0.0.0.0:PORT",
    "//0.1.2.3:PORT",
    "//169.254.169.254",
    "//169.254.170.2",
    "//2852039166",
    "//0xa9fea9fe",
    "//0251.0376.0251.0376",
    "//[::ffff:169.254.169.254]",
    "//[::ffff:a9fe:a9fe]",
    "//[::169.254.169.254]",
    "//[::127.0.0.1]:PORT",
    "//[::]:PORT",
    "//[64:ff9b::169.254.169.254]",
    "//[64:ff9b:1::7f00:1]:PORT",
    "//[2002:7f00:1::]:PORT",
    "//[2002:a9fe:a9fe::]",
    "//[2001::7f00:1]:PORT",
    "//[fe80::1]:PORT",
    "//[fe80::1%25lo]:PORT",
    "//[fe80::1%lo]:PORT",
    "//[::1%25lo]:PORT",
    "//[fd00:ec2::254]",
    "//[fd20:ce::254]",
    "//[ff02::1]:PORT",
    "//[fec0::1]:PORT",
    "//224.0.0.1:PORT",
    "//255.255.255.255:PORT",
    "//240.0.0.1:PORT",
    "//192.0.2.1",
    "//198.51.100.1",
    "//203.0.113.1",
    "//198.18.0.1",
    "//192.0.0.192",
    "//168.63.129.16",
    "//100.100.100.200",
    "//user:pw@127.0.0.1:PORT",
    "//api.example@127.0.0.1:PORT",
    "//127.0.0.1:PORT#@api.example",
    "//api.example\\@127.0.0.1:PORT",
    "//127.0.0.1:PORT\r\nx: y",
    "//127.0.0.1%2f:PORT",
    "//%31%32%37.0.0.1:PORT",
    "//①②⑦.0.0.1:PORT",
    "//127。0。0。1:PORT",
    "//ⓛocalhost:PORT",
    "//metadata.google.internal",
    "//metadata.google.internal.",
    "//METADATA.google.internal",
    "//mixed.example:PORT",
    "//mixed-metadata.example:PORT",
    "//mapped-metadata.example",
    "//zero.example:PORT",
    "//nowhere.example:PORT",
    "//127.0.0.1:0",
    "//127.0.0.1:",
    "//",
    // Notations of IPv4 that some parser reads.
    "//0177.1:PORT",
    "//0x7f.0.1:PORT",
    "//0x7F.0X0.0.1:PORT",
    "//00000177.0.0.1:PORT",
    "//127.0.0.0x1:PORT",
    "//127.0.0.1..:PORT",
    "//0.0.0.0.:PORT",
    "//169.254.169.254.",
    "//239.255.255.250:1900",
    "//192.88.99.1",
    // IPv6 that carries an IPv4 address, or leads nowhere public.
    "//[::ffff:0:127.0.0.1]:PORT",
    "//[::ffff:0.0.0.0]:PORT",
    "//[::ffff:168.63.129.16]",
    "//[64:ff9b::]:PORT",
    "//[64:ff9b::100.100.100.200]",
    "//[64:ff9b:1:ffff::7f00:1]:PORT",
    "//[2002:a00:1::1]:PORT",
    "//[2001:0:4136:e378:8000:63bf:3fff:fdd2]:PORT",
    "//[2a00::5efe:127.0.0.1]:PORT",
    "//[2001:db8::1]:PORT",
    "//[3fff::1]:PORT",
    "//[100::1]:PORT",
    "//[5f00::1]:PORT",
    "//[feff::1]:PORT",
    "//[ff05::1:3]:PORT",
    // User information, ports and international names.
    "//user@[::1]:PORT",
    "//127.0.0.1:PORT@api.example",
    "//127.0.0.1:99999",
    "//127.0.0.1:0x50",
    "//ｌｏｃａｌｈｏｓｔ:PORT",
    "//loc\u{ad}alhost:PORT",
    // What names lead to: at the end of a chain, behind more addresses than are tried, in other notations.
    "//cname.example:PORT",
    "//many.example:PORT",
    "//nat64.example:PORT",
    "//sixtofour.example:PORT",
];

/// Destinations that need `allow_private`.
const PRIVATE: &[&str] = &[
    "//127.0.0.1:PORT",
    "//127.0.0.1.:PORT",
    "//127.255.0.1:PORT",
    "//[::1]:PORT",
    "//[::ffff:127.0.0.1]:PORT",
    "//[::ffff:7f00:1]:PORT",
    "//[64:ff9b::127.0.0.1]:PORT",
    "//10.0.0.1:PORT",
    "//172.16.0.1:PORT",
    "//192.168.0.1:PORT",
    "//100.64.0.1:PORT",
    "//[fc00::1]:PORT",
    "//localhost:PORT",
    "//LOCALHOST.:PORT",
    "//loopback.example:PORT",
    "//rebinding.example:PORT",
    "//[::ffff:10.0.0.1]:PORT",
    "//[fdff::1]:PORT",
    "//100.127.255.255:PORT",
    "//six.example:PORT",
];

/// Schemes that lead elsewhere than to HTTP.
const SCHEMES: &[&str] = &[
    "unix:/run/docker.sock",
    "unix:///run/docker.sock",
    "http+unix://%2frun%2fdocker.sock/",
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "gopher://127.0.0.1:PORT/_x",
    "ftp://127.0.0.1:PORT/",
    "dict://127.0.0.1:PORT/",
    "ldap://127.0.0.1:PORT/",
    "ws://127.0.0.1:PORT/",
    "data:text/plain,x",
    "jar:http://127.0.0.1:PORT/!/",
    "//127.0.0.1:PORT/",
    "127.0.0.1:PORT",
    "http:127.0.0.1:PORT",
    "http:/127.0.0.1:PORT",
    "demo://127.0.0.1",
    "tftp://127.0.0.1:PORT/x",
    "netdoc:///etc/passwd",
];

fn resolver() -> FakeResolver {
    FakeResolver::default()
        .with("metadata.google.internal", &[&["169.254.169.254"]])
        .with("mixed.example", &[&["8.8.8.8", "0.0.0.0"]])
        .with("mixed-metadata.example", &[&["127.0.0.1", "169.254.169.254"]])
        .with("mapped-metadata.example", &[&["::ffff:169.254.169.254"]])
        .with("zero.example", &[&["0.0.0.0"]])
        .with("localhost", &[&["127.0.0.1", "::1"]])
        .with("loopback.example", &[&["127.0.0.1"]])
        .with("rebinding.example", &[&["127.0.0.1"]])
        // A resolver gives the addresses at the end of a chain of names, whatever stands between.
        .with("cname.example", &[&["169.254.169.254"]])
        .with("many.example", &[&[["8.8.8.8"; 12].as_slice(), &["169.254.169.254"]].concat()])
        .with("nat64.example", &[&["64:ff9b::a9fe:a9fe"]])
        .with("sixtofour.example", &[&["2002:7f00:1::"]])
        .with("six.example", &[&["::1"]])
}

/// Tries every URL as every class; none may be answered, and none for a reason later than the check.
async fn check(urls: impl Iterator<Item = String>, upstream: &Upstream, allow_private: bool) -> usize {
    let pool = Pool::new(Arc::new(Egress::new(Arc::new(resolver()))));
    let mut tried = 0;
    for url in urls {
        let url = url.replace("PORT", &upstream.address.port().to_string());
        for class in Class::ALL {
            tried += 1;
            let Ok(origin) = Origin::parse(&url) else { continue };
            let target = Target::new(origin, class, allow_private);
            let error = pool.send(&target, get("/"), &Timers::standard()).await.map(|_| ()).unwrap_err();
            assert!(matches!(error.phase, Phase::Denied | Phase::Resolve), "{url} as {class:?}: {error}");
            assert!(!error.written);
        }
    }
    tried
}

fn with_both_schemes(hosts: &[&str]) -> Vec<String> {
    hosts.iter().flat_map(|host| [format!("http:{host}"), format!("https:{host}/v1")]).collect()
}

#[tokio::test]
async fn opens_no_connection_to_a_denied_destination() {
    let upstream = Upstream::answering(OK).await;
    let denied = with_both_schemes(ALWAYS_DENIED);
    let private = with_both_schemes(PRIVATE);
    let schemes = || SCHEMES.iter().map(|url| (*url).to_owned());
    let mut tried = check(denied.iter().cloned(), &upstream, false).await;
    tried += check(denied.into_iter(), &upstream, true).await;
    tried += check(private.into_iter(), &upstream, false).await;
    tried += check(schemes(), &upstream, false).await;
    tried += check(schemes(), &upstream, true).await;
    assert!(tried > 1000, "{tried}");
    // One allowed request proves that the listener counts, and that it counted nothing before.
    let pool = Pool::new(Arc::new(egress()));
    let answer = pool.send(&upstream.target(), get("/"), &Timers::standard()).await.unwrap();
    assert_eq!(text(answer).await.unwrap(), "ok");
    assert_eq!(upstream.connections(), 1);
    let hosts = ALWAYS_DENIED.len() + PRIVATE.len() + SCHEMES.len();
    assert!(hosts >= 130, "{hosts}");
    let what = "Addresses that lead inwards, however they are written, are not connected to";
    let figure = format!(
        "{hosts} vectors, {tried} attempts over {} classes: 0 connections at the socket",
        Class::ALL.len()
    );
    testkit::trust::Proof::new("T60", "P11", what).held(&figure).unwrap();
}

#[tokio::test]
async fn sends_plain_http_only_where_private_is_allowed() {
    let pool = Pool::new(Arc::new(egress()));
    let public = Target::new(Origin::parse("http://8.8.8.8").unwrap(), Class::Provider, false);
    let error = pool.send(&public, get("/"), &Timers::standard()).await.map(|_| ()).unwrap_err();
    assert_eq!(error.phase, Phase::Denied);
    assert!(error.message.contains("plain http"), "{error}");
}

#[tokio::test]
async fn connects_to_the_address_that_was_checked() {
    let upstream = Upstream::answering(OK).await;
    // A second look-up would lead to an address where nobody listens.
    let names = Arc::new(FakeResolver::default().with("a.example", &[&["127.0.0.1"], &["127.0.0.99"]]));
    let pool = Pool::new(Arc::new(Egress::new(Arc::clone(&names) as Arc<dyn crate::Resolve>)));
    let target = target(&format!("http://a.example:{}", upstream.address.port()));
    for _ in 0..3 {
        let answer = pool.send(&target, get("/"), &Timers::standard()).await.unwrap();
        assert_eq!(text(answer).await.unwrap(), "ok");
    }
    assert_eq!((names.calls(), upstream.connections()), (1, 1));
}

#[tokio::test]
async fn judges_every_look_up_anew() {
    let names =
        FakeResolver::default().with("a.example", &[&["8.8.8.8"], &["127.0.0.1"], &["8.8.4.4", "10.0.0.1"]]);
    let target = Target::new(Origin::parse("https://a.example").unwrap(), Class::Provider, false);
    let first = checked_addresses(&names, &target).await.unwrap();
    assert_eq!(first, ["8.8.8.8:443".parse().unwrap()]);
    assert!(checked_addresses(&names, &target).await.is_err());
    assert!(checked_addresses(&names, &target).await.is_err());
}

#[tokio::test]
async fn reports_names_without_an_address() {
    let pool =
        Pool::new(Arc::new(Egress::new(Arc::new(FakeResolver::default().with("void.example", &[&[]])))));
    for url in ["https://nowhere.example", "https://void.example"] {
        let error = pool.send(&target(url), get("/"), &Timers::standard()).await.map(|_| ()).unwrap_err();
        assert_eq!((error.phase, error.written, error.timer), (Phase::Resolve, false, None), "{error}");
    }
}
