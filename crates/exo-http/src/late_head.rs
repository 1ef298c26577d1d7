//! A client whose request's head does not come to its end: hyper gives the connection up without a word.

use exo_wire::ApiError;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Says so and closes. Whoever asked nothing at all is told nothing: an answer would be taken for that of its next request.
pub(crate) async fn answer(mut connection: impl AsyncWrite + Unpin, head: &[u8], patience: Duration) {
    if head.is_empty() {
        return;
    }
    let what = format!("the head of the request was not there after {patience:?}");
    let body = ApiError::new(408, "head_too_slow", what).to_json();
    let text = format!(
        "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    // A client that is gone, or does not read, need not be told; the connection bounds the wait.
    let _ = connection.write_all(text.as_bytes()).await;
    let _ = connection.shutdown().await;
}
