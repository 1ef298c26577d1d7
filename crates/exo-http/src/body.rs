//! Reading a request's body.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use exo_wire::ApiError;
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::time::timeout;

/// Reads at most `limit` bytes; each part must come within `patience`, so that a client cannot hold memory by trickling.
pub(crate) async fn read(mut body: Body, limit: usize, patience: Duration) -> Result<Bytes, ApiError> {
    let mut bytes = BytesMut::new();
    loop {
        let Ok(frame) = timeout(patience, body.frame()).await else { return Err(too_slow(patience)) };
        let data = match frame {
            None => return Ok(bytes.freeze()),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(_)) => return Err(ApiError::new(400, "incomplete_body", "the body ended before its length")),
        };
        if bytes.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&data);
    }
}

/// The declared length, before anything is read.
pub(crate) fn check_length(headers: &http::HeaderMap, limit: usize) -> Result<(), ApiError> {
    let length = headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length > limit as u64 => Err(too_large(limit)),
        _ => Ok(()),
    }
}

fn too_large(limit: usize) -> ApiError {
    let message = format!("the body is larger than {limit} bytes; send less, or raise `api.maxBodyBytes`");
    ApiError::new(413, "body_too_large", message)
}

fn too_slow(patience: Duration) -> ApiError {
    ApiError::new(408, "body_too_slow", format!("no part of the body came for {patience:?}"))
}
