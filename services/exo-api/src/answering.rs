//! Generations as answers over HTTP: at once, or as events.

use crate::app::{App, unix_seconds};
use crate::generation::{self, Bounds, Generation};
use exo_http::{Event, Reply, Request};
use exo_types::RequestId;
use exo_wire::{Answer, AnswerStream, ApiError, ChatHeader, Frame, TextRequest};
use futures::StreamExt;
use std::collections::VecDeque;
use std::sync::Arc;

/// Starts what was asked for; `prefix` is what the API puts before its ids.
pub(crate) async fn start(
    app: &Arc<App>,
    request: &Request,
    prefix: &str,
    mut text: TextRequest,
) -> Result<(ChatHeader, Generation), ApiError> {
    // Users of different keys are different ones, whatever they are called.
    text.turn.client ^= (request.key as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let id = exo_ambient::fresh_id();
    let (created, model, tier) = (unix_seconds(), text.model.clone(), text.tier);
    let header = ChatHeader { id: format!("{prefix}{id}"), created, model, tier };
    let request_id = RequestId::new(id).expect("hexadecimal digits are an id");
    let generation = generation::start(app, &Bounds::from(request), &request_id, text).await?;
    Ok((header, generation))
}

/// The whole answer.
pub(crate) async fn at_once(mut generation: Generation) -> Result<Answer, ApiError> {
    let mut answer = Answer::default();
    while let Some(piece) = generation.next().await {
        answer.push(piece?)?;
    }
    Ok(answer)
}

/// The answer as it comes.
pub(crate) fn streamed(generation: Generation, stream: impl AnswerStream + Send + 'static) -> Reply {
    let frames = VecDeque::from(stream.open());
    let writer = Writer { generation, stream, frames };
    let events = futures::stream::unfold(writer, |mut writer| async move {
        let frame = writer.next().await?;
        Some((frame, writer))
    });
    Reply::events(events.map(event))
}

/// Turns pieces into frames, one at a time: the next piece is asked for when all frames of the last are taken.
struct Writer<S> {
    generation: Generation,
    stream: S,
    frames: VecDeque<Frame>,
}

impl<S: AnswerStream> Writer<S> {
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Some(frame);
            }
            if self.stream.is_finished() {
                return None;
            }
            let frames = match self.generation.next().await {
                Some(Ok(chunk)) => self.stream.push(&chunk),
                Some(Err(error)) => self.stream.fail(&error),
                None => self.stream.close(),
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
