//! Events about what users want.

use super::{Effect, invalid, unknown};
use crate::State;
use exo_types::{Intent, IntentId};
use std::collections::btree_map::Entry;

pub(super) fn recorded(state: &mut State, intent: &Intent) -> Effect {
    match state.intents.entry(intent.id.clone()) {
        Entry::Occupied(_) => Err(invalid(format!("intent {} exists", intent.id))),
        Entry::Vacant(place) => {
            place.insert(intent.clone());
            Ok(())
        }
    }
}

/// An instance may stay for a while after its wish is taken back; nobody places it again then.
pub(super) fn withdrawn(state: &mut State, id: &IntentId) -> Effect {
    state.intents.remove(id).ok_or_else(|| unknown("intent", id))?;
    let granting = state.instances.values_mut().filter(|instance| instance.intent.as_ref() == Some(id));
    granting.for_each(|instance| instance.intent = None);
    Ok(())
}
