//! TLS in front of a double, with certificates that nobody else trusts (`tests/certificates/make`), and a
//! proxy that tunnels to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use axum::http::{Request, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use url::Url;

use super::package_folder;

/// The name that the good certificate is for, beside those of this machine; no resolver knows it.
pub const BANK_HOST: &str = "bank.example";

/// A file of the folder of certificates.
pub fn file(name: &str) -> PathBuf {
    package_folder().join("tests/certificates").join(name)
}

/// The file of the authority that a gateway may be told to trust.
pub fn authority() -> String {
    file("ca.pem").display().to_string()
}

/// The file of another one, which signed none of these certificates but its own.
pub fn another_authority() -> String {
    file("unknown.pem").display().to_string()
}

fn certificates(name: &str) -> Vec<CertificateDer<'static>> {
    let certificates = CertificateDer::pem_file_iter(file(name)).expect("a file");
    certificates.map(|it| it.expect("a certificate")).collect()
}

/// How the server shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// A certificate of the authority, for its name.
    Good,
    /// One that has ended.
    Expired,
    /// One for another name.
    Elsewhere,
    /// One of nobody but itself.
    SelfSigned,
    /// The good one; but it ends the handshake by an alert, for want of a certificate of the client's.
    Demanding,
    /// The good one, and asks for one of the client's: any will do, and so will none.
    Asking,
    /// The good one, and it chooses HTTP/2 where that is offered; it gives out tokens itself.
    Http2,
    /// Nothing yet: it speaks TLS 1.1 and nothing newer.
    Old,
}

impl Shows {
    /// What TLS is told.
    pub fn configuration(self) -> ServerConfig {
        let name = match self {
            Self::Good | Self::Demanding | Self::Asking | Self::Http2 | Self::Old => "good.pem",
            Self::Expired => "expired.pem",
            Self::Elsewhere => "elsewhere.pem",
            Self::SelfSigned => "unknown.pem",
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match self {
            Self::Demanding => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates("ca.pem"));
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
            Self::Asking => builder.with_client_cert_verifier(Arc::new(AnyCertificate(provider))),
            _ => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::from_pem_file(file("key.pem")).expect("a key");
        let mut configuration = builder
            .with_single_cert(certificates(name), key)
            .expect("they belong together");
        if self == Self::Http2 {
            configuration.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        configuration
    }
}

/// Takes whatever certificate a client shows, as long as it has the key (RFC 8705, section 2.2).
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Chooses TLS 1.1, whatever the client offers, and waits until it hangs up.
async fn choose_tls_1_1(mut stream: TcpStream) -> std::io::Result<()> {
    // A record with one message: ServerHello (RFC 4346 section 7.4.1.3), with a random of zeros, no session
    // and TLS_RSA_WITH_AES_128_CBC_SHA.
    let mut hello = vec![0x16, 0x03, 0x02, 0, 42, 0x02, 0, 0, 38, 0x03, 0x02];
    hello.extend([0; 32]);
    hello.extend([0, 0x00, 0x2f, 0]);
    stream.write_all(&hello).await?;
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

/// A connection as the server saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The certificate that the client showed, by its digest (`x5t#S256`, RFC 8705 section 3.1).
    pub certificate: Option<String>,
    /// The requests that came by HTTP/2.
    pub by_http2: usize,
}

/// The digest of the first certificate of a file, as [`Seen`] has it.
pub fn thumbprint(file: &Path) -> String {
    let mut certificates = CertificateDer::pem_file_iter(file).expect("a file");
    digest_of(&certificates.next().expect("one").expect("a certificate"))
}

fn digest_of(certificate: &CertificateDer<'_>) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    URL_SAFE_NO_PAD.encode(digest)
}

/// Answers every request of a connection by HTTP/2 with a token.
async fn give_tokens(stream: TlsStream<TcpStream>, counted: impl Fn()) -> std::io::Result<()> {
    let service = service_fn(|_: Request<Incoming>| {
        counted();
        let body = r#"{"access_token":"by-http2","token_type":"Bearer"}"#.to_owned();
        let response = Response::builder().header("content-type", "application/json");
        std::future::ready(response.body(body))
    });
    let served = http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
    served.map_err(std::io::Error::other)
}

/// A server that ends TLS in front of another one. It stops when it is dropped.
pub struct TlsFront {
    address: SocketAddr,
    behind: Arc<OnceLock<SocketAddr>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    accepting: AbortHandle,
}

impl TlsFront {
    /// Starts to serve on a free port.
    pub async fn start(shows: Shows) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(shows.configuration()));
        let behind = Arc::new(OnceLock::new());
        let to = behind.clone();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let seeing = seen.clone();
        let (address, accepting) = serve(move |stream| {
            let (acceptor, to, seeing) = (acceptor.clone(), to.clone(), seeing.clone());
            async move {
                let mut plain = TcpStream::connect(to.get().expect("something is behind")).await?;
                if shows == Shows::Old {
                    return choose_tls_1_1(stream).await;
                }
                let mut stream = acceptor.accept(stream).await?;
                let shown = stream.get_ref().1.peer_certificates();
                let certificate = shown.and_then(|chain| chain.first()).map(digest_of);
                let nth = {
                    let mut seen = seeing.lock().expect("no panic");
                    seen.push(Seen {
                        certificate,
                        by_http2: 0,
                    });
                    seen.len() - 1
                };
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    let count = || seeing.lock().expect("no panic")[nth].by_http2 += 1;
                    return give_tokens(stream, count).await;
                }
                copy_bidirectional(&mut stream, &mut plain).await?;
                Ok(())
            }
        })
        .await;
        Self {
            address,
            behind,
            seen,
            accepting,
        }
    }

    /// The connections whose handshake succeeded, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }

    /// What it is in front of: the server at the origin of `url`, from now on.
    pub fn is_before(&self, url: &Url) {
        let address = format!("127.0.0.1:{}", url.port().expect("a port"));
        let address = address.parse().expect("an address");
        self.behind.set(address).expect("it is told once");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its origin on this machine, by name.
    pub fn local_origin(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A proxy that tunnels (RFC 9110 section 9.3.6), whatever host it is asked for, to one server. It stops
/// when it is dropped.
pub struct TunnelProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    accepting: AbortHandle,
}

impl TunnelProxy {
    /// Starts to tunnel to the server at `to`.
    pub async fn start(to: SocketAddr) -> Self {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = asked.clone();
        let (address, accepting) = serve(move |stream| {
            let told = told.clone();
            async move {
                let mut stream = BufReader::new(stream);
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_until(b'\n', &mut head).await? == 0 {
                        return Ok(());
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let target = head
                    .strip_prefix("CONNECT ")
                    .and_then(|rest| rest.split_once(" HTTP/1.1\r\n"));
                let Some((target, _)) = target else {
                    return stream.write_all(b"HTTP/1.1 405 No\r\n\r\n").await;
                };
                told.lock().expect("no panic").push(target.to_owned());
                let mut server = TcpStream::connect(to).await?;
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                copy_bidirectional(&mut stream, &mut server).await?;
                Ok(())
            }
        })
        .await;
        Self {
            address,
            asked,
            accepting,
        }
    }

    /// Its address, as `HTTPS_PROXY` has it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The hosts and ports that tunnels were asked for, oldest first.
    pub fn tunnels(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Drop for TunnelProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Listens on a free port, and does `converse` with every connection.
async fn serve<F, Fut>(converse: F) -> (SocketAddr, AbortHandle)
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a free port on the loopback interface");
    let address = listener.local_addr().expect("an address");
    let accepting = tokio::spawn(async move {
        // Dropped with this task, and with it every connection.
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            // An error is a peer that left, or a handshake that failed: both are meant.
            connections.spawn(converse(stream));
        }
    });
    (address, accepting.abort_handle())
}
