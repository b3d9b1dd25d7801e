//! TLS for callers: whom they can trust, what is refused at the start, and how certificates are renewed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dspex_transport::{Authority, ServerTls};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// No wait in these tests comes near it.
const LIMIT: Duration = Duration::from_secs(20);

struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// A certificate for 127.0.0.1, in the place of one that may be there.
fn make(directory: &Path, authority: &Authority, days: u32) -> Files {
    fs::create_dir_all(directory).expect("a directory");
    let signed = authority.sign("n", &["127.0.0.1".to_owned()], days, None).expect("signed");
    signed.renew(directory).expect("written");
    Files { certificate: directory.join("node.pem"), key: directory.join("node.key") }
}

fn server(files: &Files) -> ServerTls {
    ServerTls::new(&files.certificate, &files.key).expect("certificates that can be used")
}

/// Echoes one word to each caller.
async fn serve(tls: ServerTls) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = tls.accept(stream, "echo").await else { return };
                let mut word = [0; 5];
                if stream.read_exact(&mut word).await.is_ok() {
                    let _ = stream.write_all(&word).await;
                    let _ = stream.flush().await;
                }
            });
        }
    });
    address
}

async fn say(address: &str, authority: &Authority, protocol: &str) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    let trusted = CertificateDer::from_pem_slice(authority.certificate().as_bytes()).expect("a certificate");
    roots.add(trusted).expect("a root");
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let talk = async {
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        stream.write_all(b"hello").await?;
        stream.flush().await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    timeout(LIMIT, talk).await.expect("an end").map_err(|error| error.to_string())
}

#[tokio::test]
async fn who_trusts_the_authority_is_served_and_nobody_else_goes_on() {
    let place = tempfile::tempdir().expect("a directory");
    let ours = Authority::create("ours").expect("an authority");
    let theirs = Authority::create("theirs").expect("an authority");
    let tls = server(&make(place.path(), &ours, 1));
    assert_eq!(tls.hosts().to_vec(), ["127.0.0.1"]);
    let address = serve(tls).await;
    assert_eq!(say(&address, &ours, "echo").await, Ok("hello".to_owned()));
    assert!(say(&address, &theirs, "echo").await.expect_err("not trusted").contains("UnknownIssuer"));
    let other = say(&address, &ours, "another").await.expect_err("another protocol");
    assert!(other.contains("NoApplicationProtocol"), "{other}");
}

#[tokio::test]
async fn a_caller_without_tls_is_told_in_a_way_that_it_can_know_by_its_first_byte() {
    let place = tempfile::tempdir().expect("a directory");
    let authority = Authority::create("ours").expect("an authority");
    let address = serve(server(&make(place.path(), &authority, 1))).await;
    let mut stream = TcpStream::connect(&address).await.expect("connected");
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("written");
    let mut first = [0];
    timeout(LIMIT, stream.read_exact(&mut first)).await.expect("an answer").expect("a byte");
    // An alert: no frame of HTTP/2 that a server begins with has this length.
    assert_eq!(first, [21]);
}

#[tokio::test]
async fn a_renewed_certificate_is_served_without_a_restart() {
    let place = tempfile::tempdir().expect("a directory");
    let old = Authority::create("old").expect("an authority");
    let new = Authority::create("new").expect("an authority");
    let files = make(place.path(), &old, 1);
    let address = serve(server(&files)).await;
    assert!(say(&address, &old, "echo").await.is_ok());
    fs::write(&files.certificate, "half wri").expect("written");
    assert!(say(&address, &old, "echo").await.is_ok(), "the earlier one stays");
    make(place.path(), &new, 1);
    assert_eq!(say(&address, &new, "echo").await, Ok("hello".to_owned()));
    assert!(say(&address, &old, "echo").await.is_err());
}

#[tokio::test]
async fn what_nobody_would_accept_is_refused_at_the_start_with_the_file_at_fault() {
    let place = tempfile::tempdir().expect("a directory");
    let authority = Authority::create("ours").expect("an authority");
    let one = make(&place.path().join("one"), &authority, 1);
    let two = make(&place.path().join("two"), &authority, 1);
    let refused = |certificate: &Path, key: &Path| ServerTls::new(certificate, key).expect_err("refused").to_string();
    let mixed = refused(&one.certificate, &two.key);
    assert!(mixed.contains("two/node.key cannot be used: it is not the key of the certificate"), "{mixed}");
    let swapped = refused(&one.key, &one.certificate);
    assert!(swapped.contains("one/node.key cannot be used: there is no certificate in it"), "{swapped}");
    let missing = refused(&one.certificate, &place.path().join("none.key"));
    assert!(missing.contains("none.key"), "{missing}");
    // It ends with the second in which it was made.
    let over = make(&place.path().join("over"), &authority, 0);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let expired = refused(&over.certificate, &over.key);
    assert!(expired.contains("has expired") && expired.contains("--renew"), "{expired}");
}
