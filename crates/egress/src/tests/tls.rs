//! Certificates are verified; HTTP/2 is taken where it is offered, HTTP/1.1 else.

use std::convert::Infallible;
use std::sync::Arc;

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
use crate::{Egress, Phase, Pool, SendError, Timers};

/// An authority and an upstream with a certificate of it for `upstream.example` and 127.0.0.1.
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
    let names = vec!["upstream.example".to_owned(), "127.0.0.1".to_owned()];
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

#[tokio::test]
async fn refuses_a_wrong_name_and_an_unknown_authority() {
    let secured = secured(&["h2", "http/1.1"]).await;
    for (host, trusted) in [("other.example", true), ("upstream.example", false), ("127.0.0.1", false)] {
        let error = secured.call(host, trusted).await.unwrap_err();
        assert_eq!((error.phase, error.written, error.timer), (Phase::Tls, false, None), "{host}: {error}");
        assert!(error.message.contains("certificate"), "{error}");
    }
}
