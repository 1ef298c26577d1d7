//! `POST /v1/chat/completions` and `POST /v1/cancel/{id}`.

use crate::answering::{at_once, start, streamed};
use crate::app::App;
use crate::completions;
use exo_http::{Reply, Request, Route};
use exo_types::RequestId;
use exo_wire::{ApiError, ChatStream, parse_chat_request};
use std::sync::Arc;

const ID_PREFIX: &str = "chatcmpl-";

pub(crate) fn routes(app: &Arc<App>) -> Vec<Route> {
    let (chat, cancel) = (app.clone(), app.clone());
    vec![
        Route::post("/v1/chat/completions", move |request| complete(chat.clone(), request)).counted(),
        Route::post("/v1/cancel/{id}", move |request| {
            let app = cancel.clone();
            async move { cancel_one(&app, request.param("id")) }
        }),
    ]
}

async fn complete(app: Arc<App>, request: Request) -> Result<Reply, ApiError> {
    let chat = parse_chat_request(&request.body)?;
    let (stream, include_usage) = (chat.stream, chat.include_usage);
    let (header, generation) = start(&app, &request, ID_PREFIX, chat).await?;
    match stream {
        true => Ok(streamed(generation, ChatStream::new(header, include_usage))),
        false => Ok(Reply::json(at_once(generation).await?.finish(&header)?)),
    }
}

/// Ends a generation that was started through this api. EXO's path; the id is that of the answer's objects.
fn cancel_one(app: &App, id: &str) -> Result<Reply, ApiError> {
    let bare = [ID_PREFIX, completions::ID_PREFIX].iter().find_map(|prefix| id.strip_prefix(prefix)).unwrap_or(id);
    let found = RequestId::new(bare).is_ok_and(|request| app.streams.cancel(&request));
    if !found {
        return Err(ApiError::new(404, "not_found", "no request of that id is under way on this node"));
    }
    let body = serde_json::json!({ "message": "Cancelled.", "command_id": id });
    Ok(Reply::json(body.to_string()))
}
