//! Certificates are verified, and only HTTP/1.1 is offered.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::{FakeResolver, Upstream, get, read_request, target, text};
use crate::{Egress, Phase, Pool, SendError, Timers};

/// An authority and an upstream with a certificate of it for `upstream.example` and 127.0.0.1.
struct Secured {
    upstream: Upstream,
    authority: CertificateDer<'static>,
    protocols: mpsc::UnboundedReceiver<Option<Vec<u8>>>,
}

async fn secured() -> Secured {
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
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (sender, protocols) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |_, stream| {
        let (acceptor, sender) = (acceptor.clone(), sender.clone());
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            sender.send(stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)).unwrap();
            while read_request(&mut stream).await.is_some() {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                stream.flush().await.unwrap();
            }
        }
    })
    .await;
    Secured { upstream, authority: authority.der().clone(), protocols }
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
    let mut secured = secured().await;
    for host in ["upstream.example", "127.0.0.1"] {
        assert!(secured.call(host, true).await.unwrap(), "{host}");
        assert_eq!(secured.protocols.recv().await.unwrap().as_deref(), Some(&b"http/1.1"[..]));
    }
}

#[tokio::test]
async fn refuses_a_wrong_name_and_an_unknown_authority() {
    let secured = secured().await;
    for (host, trusted) in [("other.example", true), ("upstream.example", false), ("127.0.0.1", false)] {
        let error = secured.call(host, trusted).await.unwrap_err();
        assert_eq!((error.phase, error.written, error.timer), (Phase::Tls, false, None), "{host}: {error}");
        assert!(error.message.contains("certificate"), "{error}");
    }
}
