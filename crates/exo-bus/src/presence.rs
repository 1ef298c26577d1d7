//! Who is there. A presence is a declared key that carries its payload, so that it is seen and read in one step:
//! `presence/<kind>/<node>/<process>-<number>/<version>/<payload in hex>`.

use crate::bus::Shared;
use crate::envelope::decode_body;
use crate::error::{AnnounceError, BusError, RecvError};
use crate::keys;
use crate::names::{Message, PresenceKind};
use crate::transport::{Registration, Sighting};
use exo_types::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// Bytes that a payload may have.
const PAYLOAD_LIMIT: usize = 2048;

/// One announcement, from its beginning to its end; a node may have several of one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(String);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Keeps an announcement up; dropping it takes it back.
pub struct PresenceToken<P> {
    shared: Arc<Shared>,
    kind: PresenceKind<P>,
    id: TokenId,
    version: u64,
    registration: Registration,
}

impl<P: Message> PresenceToken<P> {
    pub(crate) async fn open(
        shared: Arc<Shared>,
        kind: PresenceKind<P>,
        number: u64,
        payload: &P,
    ) -> Result<Self, AnnounceError> {
        let id = TokenId(format!("{}-{number}", shared.process));
        let registration = declare(&shared, kind, &id, 0, payload).await?;
        Ok(Self { shared, kind, id, version: 0, registration })
    }

    /// The announcement's name, as watchers see it.
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// Changes what is told. Watchers see `Joined` again with the same id, and no `Left`.
    pub async fn update(&mut self, payload: &P) -> Result<(), AnnounceError> {
        self.version += 1;
        self.registration = declare(&self.shared, self.kind, &self.id, self.version, payload).await?;
        Ok(())
    }
}

async fn declare<P: Message>(
    shared: &Shared,
    kind: PresenceKind<P>,
    id: &TokenId,
    version: u64,
    payload: &P,
) -> Result<Registration, AnnounceError> {
    let name = kind.name();
    let bytes =
        rmp_serde::to_vec_named(payload).map_err(|error| AnnounceError::Encode { name, reason: error.to_string() })?;
    if bytes.len() > PAYLOAD_LIMIT {
        return Err(AnnounceError::TooLarge { name, size: bytes.len(), limit: PAYLOAD_LIMIT });
    }
    let key = format!("{}/{}/{id}/{version}/{}", keys::presence(name), keys::segment(&shared.node), keys::hex(&bytes));
    Ok(shared.transport.declare(&key).await.map_err(BusError::from)?)
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresenceChange<P> {
    /// Somebody is there, or tells something new about themselves.
    Joined {
        /// Which node.
        node: NodeId,
        /// Which of its announcements.
        token: TokenId,
        /// What it says.
        payload: P,
    },
    /// Somebody took the announcement back or died.
    Left {
        /// Which node.
        node: NodeId,
        /// Which of its announcements.
        token: TokenId,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    node: NodeId,
    version: u64,
    payload: Vec<u8>,
}

/// Who is there now, and whose change was not told yet: bounded by who is there, however slow the reader.
#[derive(Default)]
struct Members {
    now: BTreeMap<TokenId, Told>,
    told: BTreeMap<TokenId, NodeId>,
    changed: BTreeSet<TokenId>,
}

#[derive(Default)]
struct Watched {
    members: Mutex<Members>,
    changed: Notify,
}

impl Watched {
    fn on_sighting(&self, kind: &'static str, sighting: &Sighting) {
        let (Sighting::Appeared(key) | Sighting::Gone(key)) = sighting;
        let Some((id, told)) = parse(key) else {
            tracing::warn!(kind, bytes = key.len(), "a presence cannot be read; is a newer exo in the cluster?");
            return;
        };
        let mut members = self.members.lock().expect("no code panics while it holds this lock");
        let known = members.now.get(&id).map(|known| known.version);
        match sighting {
            Sighting::Appeared(_) if known.is_none_or(|version| version < told.version) => {
                members.now.insert(id.clone(), told);
            }
            Sighting::Gone(_) if known == Some(told.version) => {
                members.now.remove(&id);
            }
            Sighting::Appeared(_) | Sighting::Gone(_) => return,
        }
        members.changed.insert(id);
        drop(members);
        self.changed.notify_one();
    }

    /// The next change: who is there now, or who was told to be and is not.
    fn take(&self) -> Option<(TokenId, Result<Told, NodeId>)> {
        let mut members = self.members.lock().expect("no code panics while it holds this lock");
        while let Some(id) = members.changed.pop_first() {
            match members.now.get(&id).cloned() {
                Some(told) => {
                    members.told.insert(id.clone(), told.node.clone());
                    return Some((id, Ok(told)));
                }
                None => {
                    if let Some(node) = members.told.remove(&id) {
                        return Some((id, Err(node)));
                    }
                }
            }
        }
        None
    }
}

fn parse(key: &str) -> Option<(TokenId, Told)> {
    let mut segments = key.rsplit('/');
    let payload = keys::unhex(segments.next()?)?;
    let version = segments.next()?.parse().ok()?;
    let id = TokenId(segments.next()?.to_owned());
    let node = keys::node_of(segments.next()?)?;
    Some((id, Told { node, version, payload }))
}

/// Who announces what, by the key alone.
pub(crate) fn read<P: Message>(key: &str) -> Option<(NodeId, P)> {
    let (_, told) = parse(key)?;
    Some((told.node, decode_body(&told.payload).ok()?))
}

/// Sees who comes and goes.
pub struct PresenceWatch<P> {
    shared: Arc<Shared>,
    kind: PresenceKind<P>,
    watched: Arc<Watched>,
    _registration: Registration,
    types: PhantomData<fn() -> P>,
}

impl<P: Message> PresenceWatch<P> {
    pub(crate) async fn open(shared: Arc<Shared>, kind: PresenceKind<P>) -> Result<Self, BusError> {
        let watched = Arc::new(Watched::default());
        let (witnessed, name) = (watched.clone(), kind.name());
        let witness = Arc::new(move |sighting| witnessed.on_sighting(name, &sighting));
        let registration = shared.transport.watch(&keys::presence(name), witness).await?;
        Ok(Self { shared, kind, watched, _registration: registration, types: PhantomData })
    }

    /// The next change. Several changes of one announcement may come as one. Cancelling the wait loses nothing.
    ///
    /// `Undecodable` names an announcement that this version cannot read; the next call goes on.
    pub async fn recv(&mut self) -> Result<PresenceChange<P>, RecvError> {
        loop {
            if self.shared.closed.is_cancelled() {
                return Err(RecvError::Closed);
            }
            if let Some((token, change)) = self.watched.take() {
                return self.read(token, change);
            }
            tokio::select! {
                biased;
                () = self.shared.closed.cancelled() => {}
                () = self.watched.changed.notified() => {}
            }
        }
    }

    fn read(&self, token: TokenId, change: Result<Told, NodeId>) -> Result<PresenceChange<P>, RecvError> {
        let told = match change {
            Ok(told) => told,
            Err(node) => return Ok(PresenceChange::Left { node, token }),
        };
        match decode_body(&told.payload) {
            Ok(payload) => Ok(PresenceChange::Joined { node: told.node, token, payload }),
            Err(error) => Err(RecvError::Undecodable {
                name: self.kind.name(),
                from: told.node.to_string(),
                reason: error.to_string(),
            }),
        }
    }
}
