//! `POST /v1/chat/completions` and `POST /v1/cancel/{id}`.

use crate::app::{App, unix_seconds};
use crate::generation::{self, Bounds, Generation};
use exo_http::{Event, Reply, Request, Route};
use exo_types::RequestId;
use exo_wire::{Answer, ApiError, ChatHeader, ChatStream, Frame, parse_chat_request};
use futures::StreamExt;
use std::collections::VecDeque;
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
    let id = exo_ambient::fresh_id();
    let header = ChatHeader { id: format!("{ID_PREFIX}{id}"), created: unix_seconds(), model: chat.model.clone() };
    let request_id = RequestId::new(id).expect("hexadecimal digits are an id");
    let (stream, include_usage) = (chat.stream, chat.include_usage);
    let generation = generation::start(&app, &Bounds::from(&request), &request_id, chat).await?;
    match stream {
        true => Ok(streamed(generation, ChatStream::new(header, include_usage))),
        false => at_once(generation, &header).await,
    }
}

async fn at_once(mut generation: Generation, header: &ChatHeader) -> Result<Reply, ApiError> {
    let mut answer = Answer::default();
    while let Some(piece) = generation.next().await {
        answer.push(piece?)?;
    }
    Ok(Reply::json(answer.finish(header)?))
}

fn streamed(generation: Generation, chat: ChatStream) -> Reply {
    let frames = VecDeque::from([chat.open()]);
    let writer = Writer { generation, chat, frames };
    let events = futures::stream::unfold(writer, |mut writer| async move {
        let frame = writer.next().await?;
        Some((frame, writer))
    });
    Reply::events(events.map(event))
}

/// Turns pieces into frames, one at a time: the next piece is asked for when all frames of the last are taken.
struct Writer {
    generation: Generation,
    chat: ChatStream,
    frames: VecDeque<Frame>,
}

impl Writer {
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Some(frame);
            }
            if self.chat.is_finished() {
                return None;
            }
            let frames = match self.generation.next().await {
                Some(Ok(chunk)) => self.chat.push(&chunk),
                Some(Err(error)) => self.chat.fail(&error),
                None => self.chat.close(),
            };
            self.frames.extend(frames);
        }
    }
}

fn event(frame: Frame) -> Event {
    match frame {
        Frame::Data(text) => Event::Data(text),
        Frame::Comment(text) => Event::Comment(text),
    }
}

/// Ends a generation that was started through this api. EXO's path; the id is that of the answer's objects.
fn cancel_one(app: &App, id: &str) -> Result<Reply, ApiError> {
    let bare = id.strip_prefix(ID_PREFIX).unwrap_or(id);
    let found = RequestId::new(bare).is_ok_and(|request| app.streams.cancel(&request));
    if !found {
        return Err(ApiError::new(404, "not_found", "no request of that id is under way on this node"));
    }
    let body = serde_json::json!({ "message": "Cancelled.", "command_id": id });
    Ok(Reply::json(body.to_string()))
}
