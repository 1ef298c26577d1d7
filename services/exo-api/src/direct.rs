//! The api without HTTP: what a simulation asks.

use crate::ApiContext;
use crate::app::App;
use crate::generation::{self, Bounds, Generation};
use exo_node::View;
use exo_types::{Command, RequestId};
use exo_wire::{ApiError, CommandAccepted, TextRequest};
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Everything between a request that was parsed and its answer, routing included.
#[derive(Clone)]
pub struct DirectApi {
    app: Arc<App>,
}

impl DirectApi {
    /// An api that listens nowhere. The caller announces the node.
    pub fn new(context: ApiContext) -> Self {
        Self { app: Arc::new(App::new(context)) }
    }

    /// The cluster as it is now.
    pub fn view(&self) -> View {
        self.app.view()
    }

    /// Starts a generation, as `POST /v1/chat/completions` does. It ends by `deadline`, or when `closing` is cancelled.
    pub async fn generate(
        &self,
        request_id: &RequestId,
        text: TextRequest,
        deadline: Instant,
        closing: CancellationToken,
    ) -> Result<Generation, ApiError> {
        generation::start(&self.app, &Bounds { deadline, closing, permit: None }, request_id, text).await
    }

    /// Has the leading master do something.
    pub async fn command(&self, command: Command) -> Result<CommandAccepted, ApiError> {
        self.app.command(command, "").await
    }
}
