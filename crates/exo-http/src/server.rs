//! Listening, connections, and the end.

use crate::guard::ApiKey;
use crate::live::LiveOptions;
use crate::raw_answer;
use crate::router::Router;
use crate::stall::StallGuard;
use crate::tls::Certificate;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Connections held at the same time; each costs a few KiB, through TLS some tens, and the files that a process may open
/// are 1024 by default.
const CONNECTIONS: usize = 512;
/// How long before the end of draining the streams are told to end by themselves.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A sign of life of the loop that takes connections, for whoever watches over this process.
#[derive(Clone)]
pub struct Heartbeat {
    /// How often, work or no work.
    pub period: Duration,
    /// The sign.
    pub beat: Arc<dyn Fn() + Send + Sync>,
}

/// Limits and keys.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Where to listen; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Largest body.
    pub max_body_bytes: usize,
    /// From the head of a request to the end of its answer.
    pub request_timeout: Duration,
    /// For a handshake, for the head of a request, for each part of its body, and for a client that stopped reading. Who
    /// is late with a head or a body is told so (408); a connection on which nothing was asked is closed without a word.
    pub header_timeout: Duration,
    /// Requests of counted routes at the same time.
    pub max_concurrent: usize,
    /// Keys of which clients must present one, if there is any.
    pub keys: Vec<ApiKey>,
    /// The certificate that new connections are shown; without it HTTP is spoken as it is.
    pub certificate: Option<Certificate>,
}

/// Why nothing can be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program is there.
    #[error(
        "{address} is in use by another program (`ss -ltnp` shows which); stop it, or set `api.port` (`--api-port`, EXO_API_PORT) to a free port"
    )]
    InUse {
        /// Where.
        address: SocketAddr,
    },
    /// Ports below 1024 need a privilege.
    #[error("no permission to listen on {address}; set `api.port` to a port above 1023")]
    Permission {
        /// Where.
        address: SocketAddr,
    },
    /// Not an address of this machine.
    #[error("{} is no address of this machine; set `api.bind` to one of those that `ip address` shows", .address.ip())]
    NotOurs {
        /// Where.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// Where.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
}

/// A server that listens and answers nothing yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    options: LiveOptions,
}

impl Server {
    /// Takes the address, so that a clash is known before anything else starts.
    pub async fn bind(options: ServerOptions) -> Result<Self, BindError> {
        let address = options.bind;
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { address },
            io::ErrorKind::PermissionDenied => BindError::Permission { address },
            io::ErrorKind::AddrNotAvailable => BindError::NotOurs { address },
            _ => BindError::Other { address, source },
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, options: LiveOptions::new(options) })
    }

    /// What can be changed while it serves.
    pub fn options(&self) -> LiveOptions {
        self.options.clone()
    }

    /// Where it listens, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown`; then takes no new connection, lets open requests end for at most `drain`, tells streams
    /// to end by themselves ([`closing`](crate::Request::closing)), and cuts what is left.
    pub async fn serve(self, router: Router, heartbeat: Heartbeat, shutdown: CancellationToken, drain: Duration) {
        let closing = CancellationToken::new();
        let app = router.into_axum(self.options.clone(), closing.clone());
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        let mut pulse = interval(heartbeat.period);
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                _ = pulse.tick() => {
                    (heartbeat.beat)();
                    continue;
                }
                Some(_ended) = connections.join_next() => continue,
                accepted = accept(&self.listener, &places) => accepted,
            };
            let Some((stream, place)) = accepted else { continue };
            let connection = connection(stream, self.options.clone(), app.clone(), shutdown.clone());
            connections.spawn(async move {
                connection.await;
                drop(place);
            });
        }
        drop(self.listener);
        end(connections, &closing, drain).await;
    }
}

type Place = tokio::sync::OwnedSemaphorePermit;

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, Place)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _peer)) => Some((stream, place)),
        Err(error) => {
            // Out of file descriptors, most likely: a pause lets some be closed.
            tracing::warn!(%error, "cannot accept a connection");
            sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn connection(stream: TcpStream, options: LiveOptions, app: axum::Router, shutdown: CancellationToken) {
    // Tokens are small and must not wait for each other.
    let _ = stream.set_nodelay(true);
    let (patience, certificate) = {
        let options = &options.now().options;
        (options.header_timeout, options.certificate.clone())
    };
    let Some(certificate) = certificate else {
        return answer(StallGuard::new(stream, patience), app, patience, shutdown).await;
    };
    let secured = tokio::select! {
        secured = certificate.accept(stream, patience) => secured,
        // It has asked nothing yet.
        () = shutdown.cancelled() => None,
    };
    if let Some(secured) = secured {
        answer(secured, app, patience, shutdown).await;
    }
}

async fn answer<T>(stream: T, app: axum::Router, patience: Duration, shutdown: CancellationToken)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let result = tokio::select! {
        result = &mut connection => result,
        () = shutdown.cancelled() => {
            Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    let Err(error) = result else { return };
    tracing::debug!(%error, "a connection ended badly");
    if error.is_timeout() {
        let parts = connection.into_parts();
        raw_answer::to_late_head(parts.io.into_inner(), &parts.read_buf, patience).await;
    }
}

async fn end(mut connections: JoinSet<()>, closing: &CancellationToken, drain: Duration) {
    let all_ended = async |connections: &mut JoinSet<()>| while connections.join_next().await.is_some() {};
    let patience = drain.saturating_sub(LAST_WORDS);
    if timeout(patience, all_ended(&mut connections)).await.is_err() {
        closing.cancel();
        let _ = timeout(LAST_WORDS, all_ended(&mut connections)).await;
    }
    connections.shutdown().await;
}
