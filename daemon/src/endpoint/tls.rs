//! TLS 1.3 with raw Ed25519 keys on both sides: no certificates, no authorities, no resumption, no 0-RTT.

use std::sync::Arc;

use crdt::DeviceId;
use quinn::crypto::HmacKey;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, PeerMisbehaved, SignatureScheme};

use super::{ALPN, Error};
use crate::identity::Identity;

/// A name for the handshake, which has a field for one; nobody looks at it.
pub(super) const SERVER_NAME: &str = "strandline";

/// What stands before the 32 bytes of an Ed25519 public key (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What stands before the 32 bytes of an Ed25519 private key (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

pub(super) fn server(identity: &Identity) -> Result<QuicServerConfig, Error> {
    let provider = provider();
    let verifier = Arc::new(Verifier::new(&provider, None));
    let key = certified_key(&provider, identity)?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Error::Tls(error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    QuicServerConfig::try_from(config).map_err(|error| Error::Tls(error.to_string()))
}

pub(super) fn client(identity: &Identity, expected: Option<DeviceId>) -> Result<QuicClientConfig, Error> {
    let provider = provider();
    let verifier = Arc::new(Verifier::new(&provider, expected));
    let key = certified_key(&provider, identity)?;
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Error::Tls(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_early_data = false;
    config.enable_sni = false;
    config.resumption = rustls::client::Resumption::disabled();
    QuicClientConfig::try_from(config).map_err(|error| Error::Tls(error.to_string()))
}

/// The key the other end proved to hold.
pub(super) fn peer_key(connection: &quinn::Connection) -> Option<[u8; 32]> {
    let identity = connection.peer_identity()?;
    let keys = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    match keys.as_slice() {
        [key] => public_key(key),
        _ => None,
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Our key in the two wrappings that TLS wants.
fn certified_key(provider: &CryptoProvider, identity: &Identity) -> Result<Arc<CertifiedKey>, Error> {
    let private = [&PKCS8_PREFIX[..], identity.seed()].concat();
    let private = PrivateKeyDer::try_from(private).map_err(|error| Error::Tls(error.to_string()))?;
    let signer =
        provider.key_provider.load_private_key(private).map_err(|error| Error::Tls(error.to_string()))?;
    let public = [&SPKI_PREFIX[..], &identity.key().public()].concat();
    Ok(Arc::new(CertifiedKey::new(vec![CertificateDer::from(public)], signer)))
}

fn public_key(spki: &[u8]) -> Option<[u8; 32]> {
    spki.strip_prefix(&SPKI_PREFIX)?.try_into().ok()
}

/// Takes any device that proves to hold its key, or only the one that was expected.
#[derive(Debug)]
struct Verifier {
    expected: Option<DeviceId>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(provider: &CryptoProvider, expected: Option<DeviceId>) -> Verifier {
        Verifier { expected, algorithms: provider.signature_verification_algorithms }
    }

    fn check(&self, spki: &[u8]) -> Result<(), rustls::Error> {
        let Some(key) = public_key(spki) else {
            return Err(rustls::Error::General("the peer's key is not an Ed25519 key".to_string()));
        };
        let device = DeviceId::of(&key);
        match self.expected {
            Some(expected) if expected != device => Err(rustls::Error::General(format!(
                "expected device {expected}, but {device} is at this address"
            ))),
            _ => Ok(()),
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let spki = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, signature, &self.algorithms)
    }
}

/// Only TLS 1.3 is offered, so a signature of TLS 1.2 is a peer that does not keep to what was agreed.
fn not_tls12() -> rustls::Error {
    PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(not_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(not_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Marks the connection ids of this device, so that after a restart it knows an old one for its own and resets it.
pub(super) fn cid_key(identity: &Identity) -> u64 {
    let hash = crdt::derive("quic connection id", identity.seed());
    u64::from_le_bytes(hash[..8].try_into().expect("eight of 32 bytes"))
}

/// Makes the tokens by which a restarted daemon tells a peer that a connection is gone: the same after each start.
pub(super) struct ResetKey([u8; 32]);

impl ResetKey {
    pub(super) fn of(identity: &Identity) -> ResetKey {
        ResetKey(crdt::derive("quic reset", identity.seed()))
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(blake3::keyed_hash(&self.0, data).as_bytes());
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), quinn::crypto::CryptoError> {
        // Hash equality of blake3 takes the same time wherever two differ.
        match <[u8; 32]>::try_from(signature) {
            Ok(bytes) if blake3::keyed_hash(&self.0, data) == bytes => Ok(()),
            _ => Err(quinn::crypto::CryptoError),
        }
    }
}
