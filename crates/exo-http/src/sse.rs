//! Server-sent events.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::timeout;

/// Proxies cut connections that are silent for 30 to 60 s; EXO's clients know this period.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// One event.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// `data: …`
    Data(String),
    /// `id: …`, then `data: …`: a client that comes back sends the last id in `Last-Event-ID`. The id is one line.
    Numbered {
        /// Names this event.
        id: String,
        /// What it says.
        data: String,
    },
    /// `: …`; clients skip it.
    Comment(String),
}

impl Event {
    /// As it goes over the line. A line break inside begins a further line, so that text can never forge an event.
    fn encode(&self) -> Bytes {
        let (prefix, text) = match self {
            Self::Data(text) | Self::Numbered { data: text, .. } => ("data: ", text),
            Self::Comment(text) => (": ", text),
        };
        let mut encoded = String::with_capacity(text.len() + 64);
        if let Self::Numbered { id, .. } = self {
            let id = id.split(['\n', '\r']).next().unwrap_or_default();
            encoded.push_str("id: ");
            encoded.push_str(id);
            encoded.push('\n');
        }
        for line in text.split(['\n', '\r']) {
            encoded.push_str(prefix);
            encoded.push_str(line);
            encoded.push('\n');
        }
        encoded.push('\n');
        Bytes::from(encoded)
    }
}

/// The events as bytes, with a keep-alive comment at the start and in every silence.
pub(crate) fn bytes(
    events: impl Stream<Item = Event> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let first = futures::stream::once(async { Ok(keep_alive()) });
    let rest = futures::stream::unfold(Box::pin(events), |mut events| async move {
        match timeout(KEEP_ALIVE, events.next()).await {
            Ok(Some(event)) => Some((Ok(event.encode()), events)),
            Ok(None) => None,
            Err(_) => Some((Ok(keep_alive()), events)),
        }
    });
    first.chain(rest)
}

fn keep_alive() -> Bytes {
    Bytes::from_static(b": keep-alive\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_with_a_line_break_stays_one_event() {
        for (event, expect) in [
            (Event::Data("{}".to_owned()), "data: {}\n\n"),
            (Event::Data("a\nb".to_owned()), "data: a\ndata: b\n\n"),
            (Event::Comment("a\r\ndata: x".to_owned()), ": a\n: \n: data: x\n\n"),
            (Event::Numbered { id: "7".to_owned(), data: "{}".to_owned() }, "id: 7\ndata: {}\n\n"),
            (Event::Numbered { id: "7\ndata: x".to_owned(), data: "y".to_owned() }, "id: 7\ndata: y\n\n"),
        ] {
            assert_eq!(event.encode(), expect);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_with_comments() {
        let late = async {
            tokio::time::sleep(KEEP_ALIVE * 2 + Duration::from_secs(1)).await;
            Event::Data("x".to_owned())
        };
        let lines: Vec<Bytes> =
            bytes(futures::stream::once(late)).map(|line| line.expect("never fails")).collect().await;
        assert_eq!(lines, [keep_alive(), keep_alive(), keep_alive(), Bytes::from_static(b"data: x\n\n")]);
    }
}
