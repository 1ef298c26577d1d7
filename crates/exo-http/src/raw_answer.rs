//! Answers that hyper does not give.

use exo_wire::ApiError;
use http::StatusCode;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// To a client whose request's head does not come to its end: hyper gives the connection up without a word. Whoever asked
/// nothing at all is told nothing: an answer would be taken for that of its next request.
pub(crate) async fn to_late_head(connection: impl AsyncWrite + Unpin, head: &[u8], patience: Duration) {
    if head.is_empty() {
        return;
    }
    let what = format!("the head of the request was not there after {patience:?}");
    give(connection, &ApiError::new(408, "head_too_slow", what)).await;
}

/// Says so, and that nothing follows.
pub(crate) async fn give(mut connection: impl AsyncWrite + Unpin, error: &ApiError) {
    let body = error.to_json();
    let reason = StatusCode::from_u16(error.status).ok().and_then(|status| status.canonical_reason());
    let text = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        error.status,
        reason.unwrap_or_default(),
        body.len()
    );
    // A client that is gone, or does not read, need not be told; the connection bounds the wait.
    let _ = connection.write_all(text.as_bytes()).await;
    let _ = connection.shutdown().await;
}
