//! Certificates are verified; HTTP/2 is taken where it is offered, HTTP/1.1 else.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{FakeResolver, Upstream, get, read_request, target, text};
use crate::{Class, Egress, Origin, Phase, Pool, SendError, Target, Timers};

/// An authority and an upstream with a certificate of it for `upstream.example`, 127.0.0.1 and
/// `*.media.example`.
struct Secured {
    upstream: Upstream,
    authority: CertificateDer<'static>,
    protocols: mpsc::UnboundedReceiver<Option<Vec<u8>>>,
}

async fn secured(spoken: &[&str]) -> Secured {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = ["upstream.example", "127.0.0.1", "*.media.example"].map(str::to_owned).to_vec();
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    config.alpn_protocols = spoken.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (sender, protocols) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |_, stream| {
        let (acceptor, sender) = (acceptor.clone(), sender.clone());
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
            sender.send(protocol.clone()).unwrap();
            if protocol.as_deref() == Some(b"h2") {
                return serve_http2(stream).await;
            }
            while read_request(&mut stream).await.is_some() {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                stream.flush().await.unwrap();
            }
        }
    })
    .await;
    Secured { upstream, authority: authority.der().clone(), protocols }
}

async fn serve_http2(stream: TlsStream<TcpStream>) {
    let service = service_fn(|request: Request<Incoming>| async move {
        assert_eq!(request.uri().scheme_str(), Some("https"));
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
    });
    let server = http2::Builder::new(TokioExecutor::new());
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

impl Secured {
    /// Sends two requests to `host`, trusting the authority or not; true when the second one went
    /// over the same connection.
    async fn call(&self, host: &str, trusted: bool) -> Result<bool, SendError> {
        let names = FakeResolver::default()
            .with("upstream.example", &[&["127.0.0.1"]])
            .with("other.example", &[&["127.0.0.1"]]);
        let roots = if trusted { vec![self.authority.clone()] } else { Vec::new() };
        let pool = Pool::new(Arc::new(Egress::new(Arc::new(names)).with_extra_roots(&roots)));
        let target = target(&format!("https://{host}:{}", self.upstream.address.port()));
        let first = pool.send(&target, get("/"), &Timers::standard()).await?;
        assert_eq!(text(first).await.unwrap(), "ok");
        let second = pool.send(&target, get("/"), &Timers::standard()).await?;
        let reused = second.body().reused();
        assert_eq!(text(second).await.unwrap(), "ok");
        Ok(reused)
    }
}

#[tokio::test]
async fn speaks_http_1_1_to_a_trusted_upstream() {
    for spoken in [&["http/1.1"][..], &[]] {
        let mut secured = secured(spoken).await;
        for host in ["upstream.example", "127.0.0.1"] {
            assert!(secured.call(host, true).await.unwrap(), "{host}");
            let chosen = secured.protocols.recv().await.unwrap();
            assert_eq!(chosen.as_deref(), spoken.first().map(|name| name.as_bytes()));
        }
    }
}

#[tokio::test]
async fn speaks_http_2_where_the_upstream_does() {
    let mut secured = secured(&["http/1.1", "h2"]).await;
    assert!(secured.call("upstream.example", true).await.unwrap());
    assert_eq!(secured.protocols.recv().await.unwrap().as_deref(), Some(&b"http/1.1"[..]));
    let mut secured = self::secured(&["h2", "http/1.1"]).await;
    assert!(secured.call("upstream.example", true).await.unwrap());
    assert_eq!(secured.protocols.recv().await.unwrap().as_deref(), Some(&b"h2"[..]));
    assert_eq!(secured.upstream.connections(), 1);
}

/// More hosts than are remembered of those that callers name.
const HOSTS: usize = 80;

/// Asks every one of `count` hosts once.
async fn ask_many(secured: &Secured, count: usize, class: Class, keep_alive: Duration) -> Rc<Pool> {
    let hosts: Vec<&'static str> =
        (0..count).map(|number| &*format!("h{number}.media.example").leak()).collect();
    let names = hosts.iter().fold(FakeResolver::default(), |names, host| names.with(host, &[&["127.0.0.1"]]));
    let roots = [secured.authority.clone()];
    let pool = Pool::new(Arc::new(Egress::new(Arc::new(names)).with_extra_roots(&roots)));
    let timers = Timers { keep_alive, ..Timers::standard() };
    for host in hosts {
        let origin = Origin::parse(&format!("https://{host}:{}", secured.upstream.address.port())).unwrap();
        let answer = pool.send(&Target::new(origin, class, true), get("/"), &timers).await.unwrap();
        assert_eq!(text(answer).await.unwrap(), "ok");
    }
    pool
}

#[tokio::test]
async fn remembers_few_of_the_hosts_that_callers_name() {
    for spoken in ["http/1.1", "h2"] {
        let secured = secured(&[spoken]).await;
        let pool = ask_many(&secured, HOSTS, Class::Media, Timers::standard().keep_alive).await;
        assert!(pool.idle() + pool.shared() <= 64, "{spoken}: {} {}", pool.idle(), pool.shared());
        // One entry for how a host is spoken to, one for the connections that wait.
        assert!(pool.targets() <= 2 * 64, "{spoken}: {}", pool.targets());
        let pool = ask_many(&secured, HOSTS, Class::Provider, Timers::standard().keep_alive).await;
        assert_eq!(pool.idle() + pool.shared(), HOSTS, "{spoken}: those of operators are kept");
    }
}

#[tokio::test]
async fn forgets_a_host_that_is_not_asked_any_more() {
    for spoken in ["http/1.1", "h2"] {
        let secured = secured(&[spoken]).await;
        for class in [Class::Media, Class::Provider] {
            let pool = ask_many(&secured, 5, class, Duration::ZERO).await;
            pool.sweep();
            assert_eq!((pool.targets(), pool.idle(), pool.shared()), (0, 0, 0), "{spoken}");
        }
    }
}

#[tokio::test]
async fn refuses_a_wrong_name_and_an_unknown_authority() {
    let secured = secured(&["h2", "http/1.1"]).await;
    for (host, trusted) in [("other.example", true), ("upstream.example", false), ("127.0.0.1", false)] {
        let error = secured.call(host, trusted).await.unwrap_err();
        assert_eq!((error.phase, error.written, error.timer), (Phase::Tls, false, None), "{host}: {error}");
        assert!(error.message.contains("certificate"), "{error}");
    }
}
