//! A real server on loopback, asked by a real client and by raw sockets.

mod tls;

use exo_http::{
    ApiKey, BindError, Event, Heartbeat, LiveOptions, Reply, Request, Route, Router, Server, ServerOptions,
};
use exo_wire::ApiError;
use futures::StreamExt;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longer than anything here takes; a test that hangs fails by it.
const PATIENCE: Duration = Duration::from_secs(20);

fn options() -> ServerOptions {
    ServerOptions {
        bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        max_body_bytes: 64,
        request_timeout: PATIENCE,
        header_timeout: PATIENCE,
        max_concurrent: 8,
        keys: Vec::new(),
        certificate: None,
    }
}

fn heartbeat() -> Heartbeat {
    Heartbeat { period: PATIENCE, beat: std::sync::Arc::new(|| {}) }
}

struct Running {
    address: SocketAddr,
    options: LiveOptions,
    shutdown: CancellationToken,
    task: JoinSet<()>,
}

impl Running {
    async fn start(options: ServerOptions, router: Router) -> Self {
        Self::start_draining(options, router, Duration::from_secs(5)).await
    }

    async fn start_draining(options: ServerOptions, router: Router, drain: Duration) -> Self {
        let server = Server::bind(options).await.expect("a free port");
        let (address, shutdown) = (server.address(), CancellationToken::new());
        let live = server.options();
        let mut task = JoinSet::new();
        task.spawn(server.serve(router, heartbeat(), shutdown.clone(), drain));
        Self { address, options: live, shutdown, task }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn ask(&self, raw: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        stream.write_all(raw.as_bytes()).await.expect("it reads");
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it answers").expect("and closes");
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        timeout(PATIENCE, self.task.join_next()).await.expect("it ends").expect("one task").expect("without a panic");
    }
}

/// Status and code of an error.
async fn refusal(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    let text = response.text().await.expect("a body");
    let code = text.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("the envelope");
    (status, code.to_owned())
}

async fn echo(request: Request) -> Result<Reply, ApiError> {
    let name = request.query("name").unwrap_or("-").to_owned();
    Ok(Reply::text(format!("{} {} {name}", request.param("id"), request.body.len())))
}

fn echo_router() -> Router {
    Router::new()
        .route(Route::get("/echo/{*id}", echo))
        .route(Route::post("/echo/{*id}", echo).counted())
        .route(Route::get("/panic", |_| async { panic!("a defect") }))
        .route(Route::get("/open", |_| async { Ok(Reply::json("{}".to_owned())) }).open())
}

#[tokio::test]
async fn a_handler_gets_path_query_and_body() {
    let running = Running::start(options(), echo_router()).await;
    let client = reqwest::Client::new();
    let request = client.post(running.url("/echo/org/a%2Fb?name=x%20y")).body("12345");
    let response = request.send().await.expect("answered");
    assert_eq!(response.text().await.expect("a body"), "org/a/b 5 x y");
    running.stop().await;
}

#[tokio::test]
async fn every_refusal_of_the_server_is_in_the_envelope() {
    let running = Running::start(options(), echo_router()).await;
    let client = reqwest::Client::new();
    let chunked =
        reqwest::Body::wrap_stream(futures::stream::iter([0; 3].map(|_| Ok::<_, std::io::Error>("x".repeat(40)))));
    for (request, expect) in [
        (client.get(running.url("/nowhere")), (404, "unknown_route")),
        (client.delete(running.url("/open")), (405, "method_not_allowed")),
        (client.post(running.url("/echo/a")).body("x".repeat(65)), (413, "body_too_large")),
        (client.post(running.url("/echo/a")).body(chunked), (413, "body_too_large")),
        (client.get(running.url("/panic")), (500, "internal")),
        (client.get(running.url("/echo/%ff")), (400, "invalid_path")),
        (client.get(running.url("/open")).header("host", "evil.example"), (403, "host_not_allowed")),
        (client.get(running.url("/open")).header("origin", "http://evil.example"), (403, "origin_not_allowed")),
    ] {
        let (status, code) = refusal(request.send().await.expect("answered")).await;
        assert_eq!((status, code.as_str()), expect);
    }
    assert!(client.get(running.url("/open")).send().await.expect("it lives on").status().is_success());
    running.stop().await;
}

#[tokio::test]
async fn with_keys_only_open_routes_answer_strangers() {
    let keys = ApiKey::read_lines("secret");
    let running = Running::start(ServerOptions { keys, ..options() }, echo_router()).await;
    let client = reqwest::Client::new();
    for (path, key, status) in [
        ("/open", None, 200),
        ("/echo/a", None, 401),
        ("/nowhere", None, 401),
        ("/echo/a", Some("wrong!"), 401),
        ("/echo/a", Some("secret"), 200),
    ] {
        let mut request = client.get(running.url(path));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        assert_eq!(request.send().await.expect("answered").status().as_u16(), status, "{path} {key:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn more_requests_than_places_are_told_to_come_back() {
    let (entered, release) = (std::sync::Arc::new(Notify::new()), std::sync::Arc::new(Notify::new()));
    let (enter, leave) = (entered.clone(), release.clone());
    let wait = Route::post("/wait", move |_| {
        let (enter, leave) = (enter.clone(), leave.clone());
        async move {
            enter.notify_one();
            leave.notified().await;
            Ok(Reply::text(String::new()))
        }
    });
    let router = echo_router().route(wait.counted());
    let running = Running::start(ServerOptions { max_concurrent: 1, ..options() }, router).await;
    let client = reqwest::Client::new();
    let mut first = JoinSet::new();
    first.spawn(client.post(running.url("/wait")).send());
    entered.notified().await;
    let second = client.post(running.url("/echo/a")).send().await.expect("answered");
    assert_eq!(second.headers()["retry-after"], "1");
    assert_eq!(refusal(second).await, (429, "overloaded".to_owned()));
    assert!(client.get(running.url("/open")).send().await.expect("not counted").status().is_success());
    release.notify_one();
    assert!(first.join_next().await.expect("one").expect("no panic").expect("answered").status().is_success());
    assert!(client.post(running.url("/echo/a")).send().await.expect("a place again").status().is_success());
    running.stop().await;
}

#[tokio::test]
async fn a_handler_that_is_late_is_answered_for() {
    let forever = Route::get("/forever", |_| std::future::pending());
    let limits = ServerOptions { request_timeout: Duration::from_millis(50), ..options() };
    let running = Running::start(limits, Router::new().route(forever)).await;
    let response = reqwest::get(running.url("/forever")).await.expect("answered");
    assert_eq!(refusal(response).await, (504, "deadline_exceeded".to_owned()));
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_trickles_is_told_and_cut_off() {
    let limits = ServerOptions { header_timeout: Duration::from_millis(50), ..options() };
    let running = Running::start(limits, echo_router()).await;
    for head in ["G", "GET /open HT", "GET /open HTTP/1.1\r\nhost: localhost\r\n"] {
        let late = running.ask(head).await;
        let (head, body) = late.split_once("\r\n\r\n").unwrap_or_else(|| panic!("an answer, not {late:?}"));
        assert!(head.starts_with("HTTP/1.1 408 ") && head.contains("connection: close"), "{late}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{late}");
        assert!(body.starts_with("{\"error\":{") && body.contains("\"code\":\"head_too_slow\""), "{late}");
    }
    assert_eq!(running.ask("").await, "", "who asks nothing is told nothing");
    let second = running.ask("GET /open HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(second.starts_with("HTTP/1.1 200") && !second.contains("408"), "the next request never came: {second}");
    let no_body = running.ask("POST /echo/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\n1").await;
    assert!(no_body.starts_with("HTTP/1.1 408") && no_body.contains("body_too_slow"), "{no_body}");
    running.stop().await;
}

/// A stream that says `first` and then nothing; its end is told.
fn endless(ended: mpsc::Sender<()>) -> Route {
    Route::get("/stream", move |request: Request| {
        let ended = ended.clone();
        async move {
            let guard = Ended(Some(ended), CancellationToken::new().drop_guard());
            let closing = request.closing.clone();
            let first = futures::stream::once(async { Event::Data("first".to_owned()) });
            let last = futures::stream::once(async move {
                let _guard = guard;
                closing.cancelled().await;
                Event::Data("closing".to_owned())
            });
            Ok(Reply::events(first.chain(last)))
        }
    })
}

struct Ended(Option<mpsc::Sender<()>>, #[expect(dead_code, reason = "dropped with the stream")] DropGuard);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            let _ = sender.try_send(());
        }
    }
}

#[tokio::test]
async fn a_stream_is_dropped_when_its_client_is_gone() {
    let (sender, mut ended) = mpsc::channel(1);
    let running = Running::start(options(), Router::new().route(endless(sender))).await;
    let mut stream = TcpStream::connect(running.address).await.expect("it listens");
    stream.write_all(b"GET /stream HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it reads");
    let mut seen = String::new();
    while !seen.contains("data: first") {
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer).await.expect("it writes");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    assert!(seen.contains("text/event-stream") && seen.contains(": keep-alive"), "{seen}");
    drop(stream);
    timeout(PATIENCE, ended.recv()).await.expect("noticed").expect("dropped");
    running.stop().await;
}

#[tokio::test]
async fn a_handler_is_dropped_when_its_client_is_gone() {
    let (sender, mut ended) = mpsc::channel(1);
    let (entered_sender, mut entered) = mpsc::channel(1);
    let route = Route::get("/forever", move |_| {
        let (ended, entered) = (sender.clone(), entered_sender.clone());
        async move {
            let _guard = Ended(Some(ended), CancellationToken::new().drop_guard());
            let _ = entered.try_send(());
            std::future::pending::<Result<Reply, ApiError>>().await
        }
    });
    let running = Running::start(options(), Router::new().route(route)).await;
    let mut stream = TcpStream::connect(running.address).await.expect("it listens");
    stream.write_all(b"GET /forever HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it reads");
    entered.recv().await.expect("the handler began");
    drop(stream);
    timeout(PATIENCE, ended.recv()).await.expect("noticed").expect("dropped");
    running.stop().await;
}

#[tokio::test]
async fn at_the_end_open_streams_have_the_last_word() {
    let (sender, _ended) = mpsc::channel(1);
    let server = Server::bind(options()).await.expect("a free port");
    let (address, shutdown) = (server.address(), CancellationToken::new());
    let mut task = JoinSet::new();
    let router = Router::new().route(endless(sender));
    task.spawn(server.serve(router, heartbeat(), shutdown.clone(), Duration::from_millis(600)));
    let response = reqwest::get(format!("http://{address}/stream")).await.expect("answered");
    shutdown.cancel();
    let text = response.text().await.expect("a proper end");
    assert!(text.contains("data: first") && text.ends_with("data: closing\n\n"), "{text}");
    assert!(timeout(PATIENCE, task.join_next()).await.expect("it ends").is_some());
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_port_in_use_is_told_with_its_key_and_remedy() {
    let first = Server::bind(options()).await.expect("a free port");
    let clash = ServerOptions { bind: first.address(), ..options() };
    let error = Server::bind(clash).await.err().expect("taken");
    assert!(matches!(error, BindError::InUse { .. }));
    let message = error.to_string();
    assert!(message.contains(&first.address().to_string()) && message.contains("`api.port`"), "{message}");
    let elsewhere = ServerOptions { bind: SocketAddr::from(([192, 0, 2, 1], 0)), ..options() };
    assert!(matches!(Server::bind(elsewhere).await.err(), Some(BindError::NotOurs { .. })));
}

#[tokio::test]
async fn keys_and_limits_change_while_it_serves() {
    let running = Running::start(options(), echo_router()).await;
    let ask = async |key: &str, body: usize| {
        let request = reqwest::Client::new().post(running.url("/echo/1")).header("x-api-key", key);
        request.body("x".repeat(body)).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(ask("old", 64).await, 200);
    running.options.replace(ServerOptions { keys: ApiKey::read_lines("new"), max_body_bytes: 8, ..options() });
    assert_eq!((ask("old", 8).await, ask("new", 8).await, ask("new", 9).await), (401, 200, 413));
    running.stop().await;
}
