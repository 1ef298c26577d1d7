//! The life of the service.

use crate::app::App;
use crate::{chat, cluster, completions, embeddings, events, instances, models, nodes, page, probes, state_view};
use exo_bus::{AnnounceError, Bus};
use exo_config::Config;
use exo_http::{
    ApiKey, BindError, Certificate, CertificateError, Heartbeat, LiveOptions, Router, Server, ServerOptions,
};
use exo_node::NodeHandle;
use exo_service::Reloads;
use exo_telemetry::ServiceStatus;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long open requests may go on after a stop was asked for.
/// A stop of the whole machine, with everything around it, shall take less than five seconds.
const DRAIN: Duration = Duration::from_secs(4);

/// What the service works with.
pub struct ApiContext {
    /// The configuration in effect.
    pub config: Arc<Config>,
    /// The bus.
    pub bus: Bus,
    /// This process's place in the cluster.
    pub node: NodeHandle,
    /// Readiness, status, watchdog.
    pub status: ServiceStatus,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nothing to listen on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The keys cannot be read.
    #[error("`api.keyFile` {path} cannot be read: {source}; create it with one key on each line")]
    KeyFile {
        /// Where.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A file without keys would let nobody in, or, worse, everybody.
    #[error("`api.keyFile` {path} holds no key; write one key on each line")]
    NoKey {
        /// Where.
        path: PathBuf,
    },
    /// HTTPS is asked for and cannot be spoken.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The cluster cannot be told.
    #[error("the api cannot be announced: {0}")]
    Announce(#[from] AnnounceError),
}

/// An api that holds its port and answers nothing yet.
pub struct Api {
    server: Server,
    app: Arc<App>,
}

/// Serves until `shutdown`, then lets open requests end for four seconds and cuts the rest with an error of their own.
/// Keys, certificate and limits change with every reload.
pub async fn run(context: ApiContext, reloads: &Reloads, shutdown: CancellationToken) -> Result<(), StartError> {
    let api = Api::bind(context).await?;
    api.follow(reloads);
    api.serve(shutdown).await
}

impl Api {
    /// Takes the port.
    pub async fn bind(context: ApiContext) -> Result<Self, StartError> {
        let server = Server::bind(options(&context.config.api)?).await?;
        Ok(Self { server, app: Arc::new(App::new(context)) })
    }

    /// Where it listens, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Takes up changed keys, certificates and limits.
    fn follow(&self, reloads: &Reloads) {
        let live: LiveOptions = self.server.options();
        reloads.add(move |config| {
            live.replace(options(&config.api).map_err(|error| error.to_string())?);
            Ok(())
        });
    }

    /// Serves until `shutdown`, and drains.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), StartError> {
        let Self { server, app } = self;
        let address = server.address();
        let status = app.status.clone();
        let beating = status.clone();
        let heartbeat = Heartbeat { period: status.beat_period(), beat: Arc::new(move || beating.beat()) };
        app.node.announce().await?;
        tracing::info!(%address, "the API listens");
        status.ready();
        let told = tokio::select! {
            () = server.serve(router(&app), heartbeat, shutdown.clone(), DRAIN) => true,
            () = tell_status(&app, address, &shutdown) => false,
        };
        debug_assert!(told, "telling the status ends after serving only");
        Ok(())
    }
}

/// All that can be asked. The page of all paths is docs/api.md.
fn router(app: &Arc<App>) -> Router {
    let parts = [
        chat::routes,
        completions::routes,
        embeddings::routes,
        models::routes,
        state_view::routes,
        events::routes,
        cluster::routes,
        nodes::routes,
        instances::routes,
        probes::routes,
    ];
    let routes = parts.iter().flat_map(|routes| routes(app)).chain(page::routes());
    routes.fold(Router::new(), Router::route)
}

fn options(api: &exo_config::Api) -> Result<ServerOptions, StartError> {
    Ok(ServerOptions {
        bind: SocketAddr::new(api.bind, api.port),
        max_body_bytes: api.max_body_bytes,
        request_timeout: api.request_timeout,
        header_timeout: api.header_timeout,
        max_concurrent: api.max_concurrent,
        keys: read_keys(api.key_file.as_ref())?,
        certificate: api.tls.files().map(|(certificate, key)| Certificate::read(certificate, key)).transpose()?,
    })
}

fn read_keys(path: Option<&PathBuf>) -> Result<Vec<ApiKey>, StartError> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(path).map_err(|source| StartError::KeyFile { path: path.clone(), source })?;
    let keys = ApiKey::read_lines(&text);
    if keys.is_empty() { Err(StartError::NoKey { path: path.clone() }) } else { Ok(keys) }
}

/// Keeps the line in `systemctl status` true; for as long as the server serves.
async fn tell_status(app: &App, address: SocketAddr, shutdown: &CancellationToken) {
    let mut view = app.node.view();
    loop {
        let line = {
            let view = view.borrow_and_update();
            format!("listening on {address}; {}", view.summary())
        };
        app.status.set_status(line);
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            changed = view.changed() => if changed.is_err() { break },
        }
    }
    app.status.set_status("draining");
    std::future::pending().await
}
