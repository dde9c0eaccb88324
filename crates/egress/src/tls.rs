//! The TLS configuration of connections out of this process.
//!
//! TLS 1.2 and 1.3, certificates always verified, HTTP/2 offered before HTTP/1.1; there is no switch
//! to turn verification off.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;

/// A configuration that trusts the public authorities and `extra`.
pub(crate) fn client_config(extra: &[CertificateDer<'static>]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let (_, unreadable) = roots.add_parsable_certificates(extra.iter().cloned());
    if unreadable > 0 {
        tracing::warn!(
            unreadable,
            "some extra certificate authorities could not be read and are not trusted"
        );
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider is built with cipher suites for TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}
