//! The same through TLS.

use crate::{Running, echo_router, endless, options};
use exo_http::{Answer, AskError, Certificate, CertificateError, Client, Method, ServerOptions, Trust};
use rcgen::{CertifiedKey, KeyPair};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A certificate for `localhost`, and its key.
struct Files {
    _folder: TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new() -> Self {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let folder = tempfile::tempdir().expect("a folder");
        let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
        fs::write(&certificate, cert.pem()).expect("written");
        fs::write(&key, signing_key.serialize_pem()).expect("written");
        Self { _folder: folder, certificate, key }
    }

    fn read(&self) -> Result<Certificate, CertificateError> {
        Certificate::read(&self.certificate, &self.key)
    }

    fn options(&self) -> ServerOptions {
        ServerOptions { certificate: Some(self.read().expect("good files")), ..options() }
    }

    fn trust(&self) -> Trust {
        Trust::Certificate(self.certificate.clone())
    }
}

async fn get(running: &Running, trust: Trust, path: &str) -> Result<Answer, AskError> {
    let client = Client::new(format!("https://{}", running.address), trust);
    timeout(crate::PATIENCE, client.ask(Method::GET, path, None, None)).await.expect("it answers")
}

async fn status(running: &Running, trust: Trust) -> Result<u16, AskError> {
    Ok(get(running, trust, "/open").await?.status)
}

/// What comes until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(crate::PATIENCE, stream.read_to_end(&mut answer)).await.expect("it closes").expect("in order");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn who_asks_through_tls_is_answered_and_only_with_the_right_certificate() {
    let files = Files::new();
    let running = Running::start(files.options(), echo_router()).await;
    let client = Client::new(format!("https://{}/", running.address), files.trust());
    let answer =
        client.ask(Method::POST, "/echo/a?name=x", Some("key"), Some("{}".to_owned())).await.expect("answered");
    assert_eq!(answer.text().await.expect("a body"), "a 2 x");
    for trust in [Files::new().trust(), Trust::Authorities] {
        let error = status(&running, trust).await.expect_err("somebody else's certificate");
        assert!(matches!(&error, AskError::Connect(_)), "{error}");
    }
    running.stop().await;
}

#[tokio::test]
async fn whoever_does_not_shake_hands_is_cut_off_and_holds_nobody_up() {
    let files = Files::new();
    let running = Running::start(files.options(), echo_router()).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(running.address).await.expect("it listens"));
    }
    assert_eq!(status(&running, files.trust()).await.expect("answered beside them"), 200);
    running.options.replace(ServerOptions { header_timeout: Duration::from_millis(50), ..files.options() });
    // The first bytes of a handshake that stops there; none at all.
    for begin in [&b"\x16\x03\x01\x02"[..], b""] {
        let mut slow = TcpStream::connect(running.address).await.expect("it listens");
        slow.write_all(begin).await.expect("it reads");
        assert_eq!(rest(&mut slow).await, "");
    }
    // They keep the patience that they came under, and do not keep the server from its end.
    running.stop().await;
    drop(silent);
}

#[tokio::test]
async fn what_is_no_tls_ends_without_harm_and_http_is_told_why() {
    let files = Files::new();
    let running = Running::start(files.options(), echo_router()).await;
    let mut plain = TcpStream::connect(running.address).await.expect("it listens");
    let request = "POST /echo/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\n12";
    plain.write_all(request.as_bytes()).await.expect("it reads");
    let told = rest(&mut plain).await;
    plain.write_all(b"3").await.expect("what comes late takes the answer from nobody");
    let (head, body) = told.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n") && head.contains("connection: close"), "{told}");
    assert!(body.contains("\"code\":\"https_only\"") && body.contains("https://"), "{told}");
    let noise = running.ask("\0\0\0\0\0\0").await;
    assert!(!noise.contains("HTTP"), "{noise}");
    assert_eq!(status(&running, files.trust()).await.expect("it lives on"), 200);
    running.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_open_ones_go_on() {
    let (old, new) = (Files::new(), Files::new());
    let (sender, _ended) = mpsc::channel(1);
    let router = echo_router().route(endless(sender));
    let running = Running::start_draining(old.options(), router, Duration::from_millis(600)).await;
    let mut stream = get(&running, old.trust(), "/stream").await.expect("answered");
    let mut seen = String::new();
    while !seen.contains("data: first") {
        let chunk = stream.chunk().await.expect("it goes on").expect("no end");
        seen.push_str(&String::from_utf8_lossy(&chunk));
    }
    running.options.replace(new.options());
    assert_eq!(status(&running, new.trust()).await.expect("the new one is shown"), 200);
    assert!(status(&running, old.trust()).await.is_err(), "the old one is not");
    let (rest, ()) = tokio::join!(stream.text(), running.stop());
    assert!(rest.expect("a proper end").ends_with("data: closing\n\n"));
}

#[tokio::test]
async fn a_stream_is_dropped_when_its_client_is_gone() {
    let files = Files::new();
    let (sender, mut ended) = mpsc::channel(1);
    let running = Running::start(files.options(), echo_router().route(endless(sender))).await;
    let mut stream = get(&running, files.trust(), "/stream").await.expect("answered");
    assert!(stream.chunk().await.expect("it goes on").is_some());
    drop(stream);
    timeout(crate::PATIENCE, ended.recv()).await.expect("noticed").expect("dropped");
    running.stop().await;
}

#[test]
fn what_is_wrong_with_the_files_is_told_with_path_and_remedy() {
    let (good, other) = (Files::new(), Files::new());
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        path
    };
    let empty = file("empty.pem", "");
    let torn = file("torn.pem", "-----BEGIN CERTIFICATE-----\nMII");
    let nonsense = file("nonsense.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let missing = folder.path().join("missing.pem");
    let refused = |certificate: &Path, key: &Path, culprit: &Path, words: &[&str]| {
        let error = Certificate::read(certificate, key).expect_err("it cannot be used").to_string();
        let names = culprit.display().to_string();
        assert!(!error.contains('\n') && error.contains(&names), "{error}");
        assert!(words.iter().all(|word| error.contains(word)), "{words:?} in {error}");
    };
    refused(&missing, &good.key, &missing, &["`api.tls.certificate`", "cannot be read", "No such file"]);
    refused(&good.certificate, &missing, &missing, &["`api.tls.key`", "cannot be read", "No such file"]);
    refused(folder.path(), &good.key, folder.path(), &["`api.tls.certificate`", "cannot be read"]);
    refused(&empty, &good.key, &empty, &["`api.tls.certificate`", "holds no certificate", "PEM"]);
    refused(&good.certificate, &empty, &empty, &["`api.tls.key`", "holds no private key", "PEM"]);
    refused(&good.key, &good.key, &good.key, &["`api.tls.certificate`", "holds no certificate"]);
    refused(&good.certificate, &good.certificate, &good.certificate, &["`api.tls.key`", "holds no private key"]);
    refused(&torn, &good.key, &torn, &["`api.tls.certificate`", "holds no certificate"]);
    refused(&nonsense, &good.key, &nonsense, &["cannot be used"]);
    refused(&good.certificate, &other.key, &other.key, &["is not the key of", "made together"]);
    let of_key = file("other.pem", &KeyPair::generate().expect("made").serialize_pem());
    refused(&good.certificate, &of_key, &of_key, &["is not the key of"]);
    assert_eq!(format!("{:?}", good.read().expect("good files")), "Certificate(…)");
}
