//! HTTPS on the API of a real process: its own command line, a client that trusts an authority, and a renewal.

use crate::node::{DEADLINE, Net, Node, models};
use exo_http::{Answer, AskError, Client, Method, Trust};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::Instant;
use tokio::time::timeout;

/// An authority, and the files of a node whose certificates it signs.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    certificate: PathBuf,
    key: PathBuf,
}

impl Authority {
    /// Writes the node's first certificate, and names it in its configuration.
    fn of(node: &Node) -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("made")).expect("made");
        let file = |name: &str| node.folder().join(name);
        let authority = Self { issuer, certificate: file("certificate.pem"), key: file("key.pem") };
        fs::write(file("authority.pem"), authority.issuer.pem()).expect("written");
        authority.sign();
        let mut text = fs::read_to_string(node.configuration()).expect("it is there");
        let (certificate, key) = (authority.certificate.display(), authority.key.display());
        text += &format!("[api.tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
        fs::write(node.configuration(), text).expect("written");
        authority
    }

    /// A certificate for the next years, with a key of its own.
    fn sign(&self) {
        let key = KeyPair::generate().expect("made");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a good name");
        fs::write(&self.certificate, params.signed_by(&key, &self.issuer).expect("signed").pem()).expect("written");
        fs::write(&self.key, key.serialize_pem()).expect("written");
    }

    /// A client that takes what lies there now.
    fn client(&self, node: &Node, copy: &str) -> Client {
        let copy = node.folder().join(copy);
        fs::copy(&self.certificate, &copy).expect("copied");
        Client::new(format!("https://127.0.0.1:{}", node.api_port), Trust::Certificate(copy))
    }
}

fn exo(node: &Node, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = node.command("exo");
    command.args(arguments).env("EXO_CONFIG", node.configuration()).envs(environment.iter().copied());
    command.output().expect("exo starts")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn ask(client: &Client, method: Method, path: &str, body: Option<String>) -> Result<Answer, AskError> {
    timeout(DEADLINE, client.ask(method, path, None, body)).await.expect("it answers")
}

async fn story(client: &Client) -> Answer {
    let body = json!({
        "model": "exo-guide", "temperature": 0, "max_tokens": 200, "stream": true,
        "messages": [{"role": "user", "content": "Tell me a long story."}],
    });
    ask(client, Method::POST, "/v1/chat/completions", Some(body.to_string())).await.expect("it answers")
}

#[tokio::test]
async fn with_a_certificate_the_api_speaks_https_and_takes_up_a_renewed_one_while_streams_go_on() {
    let node = Net::new().node("one", true, &models(), "");
    let authority = Authority::of(&node);
    let mut process = node.start("exo", &["up"]);
    let begin = Instant::now();
    // The command line knows the certificate of its own machine, whatever name that is for.
    while let placed = exo(&node, &["place", "exo-guide", "--wait"], &[])
        && !placed.status.success()
    {
        assert!(begin.elapsed() < DEADLINE, "{}", text(&placed));
    }
    let ca = node.folder().join("authority.pem");
    let ca = [("SSL_CERT_FILE", ca.to_str().expect("UTF-8"))];
    let url = format!("https://localhost:{}", node.api_port);
    let chat = ["chat", "exo-guide", "What is exo?", "--api", &url];
    let answer = exo(&node, &chat, &ca);
    assert!(answer.status.success() && text(&answer).contains("exo"), "{}", text(&answer));
    let stranger = exo(&node, &chat, &[]);
    assert!(!stranger.status.success() && text(&stranger).contains("certificate"), "{}", text(&stranger));
    let plain = reqwest::get(format!("http://127.0.0.1:{}/state", node.api_port)).await.expect("it answers");
    assert_eq!(plain.status().as_u16(), 400);
    assert!(plain.text().await.expect("a body").contains("https_only"));

    let old = authority.client(&node, "old.pem");
    let mut stream = story(&old).await;
    assert!(stream.chunk().await.expect("it goes on").is_some());
    // What cannot be used changes nothing; the new one is for new connections.
    fs::write(&authority.key, "").expect("written");
    process.signal("HUP");
    process.wait_for("holds no private key");
    assert_eq!(ask(&old, Method::GET, "/readyz", None).await.expect("as before").status, 200);
    authority.sign();
    let new = authority.client(&node, "new.pem");
    process.signal("HUP");
    process.wait_for("the configuration is read again");
    assert_eq!(ask(&new, Method::GET, "/readyz", None).await.expect("the new one is shown").status, 200);
    assert!(ask(&old, Method::GET, "/readyz", None).await.is_err(), "the old one is not");
    let rest = timeout(DEADLINE, stream.text()).await.expect("it ends").expect("through the connection that it had");
    assert!(rest.contains("data: [DONE]"), "{rest}");
    assert!(process.stop().success());
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_by_the_doctor_and_at_the_start() {
    let node = Net::new().node("one", true, &models(), "");
    let authority = Authority::of(&node);
    fs::write(&authority.key, KeyPair::generate().expect("made").serialize_pem()).expect("written");
    let words = "is not the key of the first certificate";
    let doctor = exo(&node, &["doctor", "--unit", "api"], &[]);
    assert!(doctor.status.code() == Some(2) && text(&doctor).contains(words), "{}", text(&doctor));
    let mut process = node.start("exo", &["up"]);
    assert!(!process.wait().success());
    assert!(process.log().contains(words), "{}", process.log());
}
