//! `POST /v1/completions`.

use crate::answering::{at_once, start, streamed};
use crate::app::App;
use exo_http::{Reply, Request, Route};
use exo_wire::{ApiError, CompletionRequest, CompletionStream, completion_json, parse_completion_request};
use std::sync::Arc;

pub(crate) const ID_PREFIX: &str = "cmpl-";

pub(crate) fn routes(app: &Arc<App>) -> Vec<Route> {
    let app = app.clone();
    vec![Route::post("/v1/completions", move |request| complete(app.clone(), request)).counted()]
}

async fn complete(app: Arc<App>, request: Request) -> Result<Reply, ApiError> {
    let CompletionRequest { text, echo } = parse_completion_request(&request.body)?;
    let (stream, include_usage) = (text.stream, text.include_usage);
    let (header, generation) = start(&app, &request, ID_PREFIX, text).await?;
    match stream {
        true => Ok(streamed(generation, CompletionStream::new(header, echo, include_usage))),
        false => Ok(Reply::json(completion_json(&header, echo.as_deref(), &at_once(generation).await?)?)),
    }
}
