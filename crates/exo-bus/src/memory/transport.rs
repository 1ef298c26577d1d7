//! One process on the memory network.

use super::network::{Declared, Network};
use crate::names::ProcessId;
use crate::transport::{Answer, CallError, Deliver, Registration, Transport, TransportError, Witness};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use std::sync::{Arc, Weak};
use std::time::Duration;

pub(super) struct MemoryTransport {
    network: Arc<Network>,
    process: ProcessId,
}

impl MemoryTransport {
    pub fn new(network: Arc<Network>, process: ProcessId) -> Self {
        Self { network, process }
    }

    fn declare(&self, key: &str, what: Declared) -> BoxFuture<'_, Result<Registration, TransportError>> {
        let declared = self.open().map(|()| {
            let number = self.network.declare(self.process, key, what);
            Registration::new(Held { network: Arc::downgrade(&self.network), number })
        });
        ready(declared).boxed()
    }

    fn open(&self) -> Result<(), TransportError> {
        if self.network.is_there(self.process) { Ok(()) } else { Err(TransportError::Closed) }
    }
}

struct Held {
    network: Weak<Network>,
    number: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(network) = self.network.upgrade() {
            network.undeclare(self.number);
        }
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        self.network.remove_process(self.process);
    }
}

impl Transport for MemoryTransport {
    fn ready(&self) -> BoxFuture<'_, Result<(), TransportError>> {
        // Lets the delivery run even if the publisher never waits for anything.
        async {
            tokio::task::yield_now().await;
            self.open()
        }
        .boxed()
    }

    fn put(&self, key: &str, bytes: Bytes) -> Result<(), TransportError> {
        self.open()?;
        self.network.put(self.process, key, &bytes);
        Ok(())
    }

    fn subscribe<'a>(&'a self, key: &'a str, deliver: Deliver) -> BoxFuture<'a, Result<Registration, TransportError>> {
        self.declare(key, Declared::Subscriber(deliver))
    }

    fn call<'a>(&'a self, key: &'a str, bytes: Bytes, deadline: Duration) -> BoxFuture<'a, Result<Bytes, CallError>> {
        if self.open().is_err() {
            return ready(Err(CallError::Closed)).boxed();
        }
        let answered = self.network.call(self.process, key, bytes);
        async move {
            match tokio::time::timeout(deadline, answered).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(CallError::Nobody),
                Err(_) => Err(CallError::Timeout),
            }
        }
        .boxed()
    }

    fn answer<'a>(&'a self, key: &'a str, answer: Answer) -> BoxFuture<'a, Result<Registration, TransportError>> {
        self.declare(key, Declared::Answerer(answer))
    }

    fn declare<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Registration, TransportError>> {
        self.declare(key, Declared::Token)
    }

    fn watch<'a>(&'a self, prefix: &'a str, witness: Witness) -> BoxFuture<'a, Result<Registration, TransportError>> {
        self.declare(prefix, Declared::Watch(witness))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.network.remove_process(self.process);
        ready(()).boxed()
    }
}
