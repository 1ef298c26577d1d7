//! The end that asked.

use super::table::{Ending, Inflow};
use super::{INTRODUCTION, WINDOW};
use crate::bus::{Call, Shared};
use crate::envelope::{Draft, Header, Kind, decode_body};
use crate::error::{OpenError, StreamError};
use crate::keys;
use crate::names::{Message, ProcessId, StreamService};
use crate::transport::Registration;
use exo_types::NodeId;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// Items of one stream, in order. Dropping it cancels the sender.
pub struct StreamReceiver<I> {
    name: &'static str,
    node: NodeId,
    flow: Registered,
    sender: ProcessId,
    /// Items may be long in coming, and the sender has to be missed meanwhile.
    _awaited: Registration,
    taken: u64,
    granted: u64,
    types: PhantomData<fn() -> I>,
}

/// A place in the table; leaves it when dropped.
struct Registered {
    shared: Arc<Shared>,
    number: u64,
    inflow: Arc<Inflow>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.streams.drop_inflow(self.number);
    }
}

impl<I: Message> StreamReceiver<I> {
    pub(crate) async fn open<Q: Message>(
        shared: Arc<Shared>,
        stream: StreamService<Q, I>,
        to: &NodeId,
        open: &Q,
        deadline: Duration,
    ) -> Result<Self, OpenError> {
        let awaited = shared.transport.await_from(to);
        let (number, inflow) = shared.streams.new_inflow();
        let flow = Registered { shared: shared.clone(), number, inflow };
        let name = stream.name();
        let header = Header { sequence: WINDOW, ..shared.header(Kind::Open, number) };
        let draft = Draft::new(name, &header, open).map_err(crate::RequestError::from)?;
        let call = Call { name, key: keys::stream(name, to), node: to, deadline };
        let accepted = shared.call(&call, draft.into()).await?.header;
        flow.inflow.set_sender(accepted.process);
        // From here on dropping the receiver tells the sender.
        let receiver = Self {
            name,
            node: to.clone(),
            sender: accepted.process,
            _awaited: awaited,
            flow,
            taken: 0,
            granted: WINDOW,
            types: PhantomData,
        };
        if shared.streams.wait_alive(accepted.process, INTRODUCTION.min(deadline)).await {
            Ok(receiver)
        } else {
            Err(OpenError::Lost { stream: name, node: to.clone() })
        }
    }

    /// The next item, or `None` at the end of a stream that ended well. Waits at most `idle`, which is not the end:
    /// the next call may still bring something. Cancelling the wait loses nothing.
    pub async fn recv(&mut self, idle: Duration) -> Result<Option<I>, StreamError> {
        let inflow = self.flow.inflow.clone();
        let next = async {
            loop {
                if let Some(taken) = inflow.take() {
                    return taken;
                }
                inflow.changed.notified().await;
            }
        };
        match tokio::time::timeout(idle, next).await {
            Ok(Ok(body)) => {
                self.on_taken();
                decode_body(&body)
                    .map(Some)
                    .map_err(|error| StreamError::Undecodable { stream: self.name, reason: error.to_string() })
            }
            Ok(Err(Ending::Finished)) => Ok(None),
            Ok(Err(ending)) => Err(self.error(ending)),
            Err(_) => Err(StreamError::IdleTimeout { stream: self.name, after: idle }),
        }
    }

    /// Grants more once half of what was granted is used.
    fn on_taken(&mut self) {
        self.taken += 1;
        if self.granted - self.taken <= WINDOW / 2 {
            self.granted = self.taken + WINDOW;
            self.tell(Kind::Credit, self.granted);
        }
    }

    fn error(&self, ending: Ending) -> StreamError {
        let stream = self.name;
        match ending {
            Ending::Lost => StreamError::Lost { stream, node: self.node.clone() },
            Ending::Gap { expected, got } => StreamError::Gap { stream, expected, got },
            Ending::Overrun => StreamError::Overrun { stream, window: WINDOW },
            Ending::Failed(reason) => StreamError::Closed { reason },
            Ending::Finished => StreamError::Closed { reason: "finished".to_owned() },
        }
    }
}

impl<I> StreamReceiver<I> {
    fn tell(&self, kind: Kind, sequence: u64) {
        let shared = &self.flow.shared;
        let header = Header { sequence, ..shared.header(kind, self.flow.number) };
        shared.tell(self.sender, Draft::bare(&header));
    }
}

impl<I> Drop for StreamReceiver<I> {
    fn drop(&mut self) {
        let ended = matches!(self.flow.inflow.take(), Some(Err(Ending::Finished | Ending::Failed(_) | Ending::Lost)));
        if !ended {
            self.tell(Kind::Cancel, 0);
        }
    }
}
