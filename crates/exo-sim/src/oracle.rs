//! What clients were told.

use exo_state::State;
use exo_types::{Command, CommandId, InstanceId, IntentId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a client knows of its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commanded {
    /// It was sent.
    UnderWay,
    /// It was acknowledged.
    Accepted,
    /// It was refused: nothing was changed.
    Refused,
    /// It failed in a way that tells nothing: it may have been carried out.
    Unknown,
}

/// What a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A placement: from then on an intent stands there under the id of the command.
    Place,
    /// That an instance be gone, and the wish behind it, if one stood there.
    Delete {
        /// The instance.
        instance: InstanceId,
        /// As the api of the client saw it.
        wish: Option<IntentId>,
    },
    /// Anything else.
    Other,
}

impl Asked {
    /// `state` is what the client's api has then.
    pub(crate) fn of(command: &Command, state: &State) -> Self {
        match command {
            Command::PlaceInstance(_) => Self::Place,
            Command::DeleteInstance { instance_id } => {
                let wish = state.instances.get(instance_id).and_then(|instance| instance.intent.clone());
                Self::Delete { instance: instance_id.clone(), wish }
            }
            _ => Self::Other,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Place => "place",
            Self::Delete { .. } => "delete",
            Self::Other => "another command",
        }
    }

    /// Whether it may take away what is asked for under that id.
    pub(crate) fn may_withdraw(&self, wish: &str) -> bool {
        matches!(self, Self::Delete { instance, .. } if wish_of(instance) == wish)
    }
}

/// The intent behind an instance, whose name an instance keeps however often it is placed anew.
fn wish_of(instance_id: &InstanceId) -> &str {
    let id = instance_id.as_str();
    id.split_once(".again-").map_or(id, |(wish, _)| wish)
}

/// A command, and what its client knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) asked: Asked,
    pub(crate) commanded: Commanded,
}

/// All commands of all clients. A clone is the same record.
#[derive(Clone, Default)]
pub(crate) struct Oracle(Arc<Mutex<BTreeMap<CommandId, Told>>>);

impl Oracle {
    /// A client learns something of its command.
    pub(crate) fn note(&self, id: &CommandId, asked: &Asked, commanded: Commanded) {
        self.lock().insert(id.clone(), Told { asked: asked.clone(), commanded });
    }

    /// What all clients know.
    pub(crate) fn told(&self) -> BTreeMap<CommandId, Told> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CommandId, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
