//! Accepts any node of the cluster as the server.
//!
//! An operator gives an address and need not know which node is there. The certificate must be a node's, from the
//! cluster's authority; only the comparison with a name known beforehand falls away.

use super::identity::{Role, identity_of};
use super::provider;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct AnyNode {
    inner: Arc<WebPkiServerVerifier>,
}

impl AnyNode {
    pub(super) fn of(roots: Arc<RootCertStore>) -> Result<Self, rustls::server::VerifierBuilderError> {
        Ok(Self { inner: WebPkiServerVerifier::builder_with_provider(roots, provider()).build()? })
    }
}

impl ServerCertVerifier for AnyNode {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let identity = identity_of(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        if identity.role != Role::Peer {
            return Err(CertificateError::InvalidPurpose.into());
        }
        let own_name = ServerName::try_from(identity.name).map_err(|_| CertificateError::BadEncoding)?;
        self.inner.verify_server_cert(end_entity, intermediates, &own_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
