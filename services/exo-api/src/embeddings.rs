//! `POST /v1/embeddings`.

use crate::answering::start;
use crate::app::App;
use exo_http::{Reply, Request, Route};
use exo_types::{EmbeddingChunk, StreamChunk};
use exo_wire::{ApiError, TextRequest, parse_embedding_request};
use futures::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;

const ID_PREFIX: &str = "embd-";

/// Inputs of one request that are under way at the same time: enough to fill a step, few enough that others get their
/// turn.
const AT_ONCE: usize = 8;

pub(crate) fn routes(app: &Arc<App>) -> Vec<Route> {
    let app = app.clone();
    vec![Route::post("/v1/embeddings", move |request| embed(app.clone(), request)).counted()]
}

async fn embed(app: Arc<App>, request: Request) -> Result<Reply, ApiError> {
    let mut asked = parse_embedding_request(&request.body)?;
    let inputs = std::mem::take(&mut asked.inputs);
    let vectors = inputs.into_iter().map(|input| vector(&app, &request, asked.text(input)));
    let vectors: Vec<EmbeddingChunk> = stream::iter(vectors).buffered(AT_ONCE).try_collect().await?;
    let body = asked.body(vectors)?;
    Ok(Reply::json(serde_json::to_string(&body).map_err(|_| unsaid())?))
}

/// The vector of one input.
async fn vector(app: &Arc<App>, request: &Request, text: TextRequest) -> Result<EmbeddingChunk, ApiError> {
    let (_, mut generation) = start(app, request, ID_PREFIX, text).await?;
    while let Some(piece) = generation.next().await {
        match piece? {
            StreamChunk::Embedding(embedding) => return Ok(embedding),
            StreamChunk::Error(error) => return Err(ApiError::from(&error)),
            StreamChunk::PrefillProgress(_) => {}
            // A node of an older version takes it for a request for text.
            StreamChunk::Token(_) => return Err(too_old()),
        }
    }
    Err(unsaid())
}

fn too_old() -> ApiError {
    ApiError::new(501, "not_supported", "the node that holds the model knows no embeddings yet; upgrade exo there")
}

fn unsaid() -> ApiError {
    ApiError::new(500, "internal", "the node that holds the model gave no vector; try again")
}
