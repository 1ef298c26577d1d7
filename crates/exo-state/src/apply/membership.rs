//! Events about who belongs to the cluster.

use super::{Effect, Skip, changed, invalid, unknown};
use crate::{JoinTokenState, State};
use exo_types::{JoinTokenId, JoinTokenRecord, KeyFingerprint, NodeId};
use std::collections::BTreeSet;
use std::collections::btree_map::Entry;

pub(super) fn token_created(state: &mut State, token: &JoinTokenRecord) -> Effect {
    match state.identity.join_tokens.entry(token.id.clone()) {
        Entry::Occupied(_) => Err(invalid(format!("join token {} exists", token.id))),
        Entry::Vacant(place) => {
            place.insert(JoinTokenState { token: token.clone(), used_by: BTreeSet::new() });
            Ok(())
        }
    }
}

pub(super) fn token_used(state: &mut State, id: &JoinTokenId, node: &NodeId) -> Effect {
    let token = state.identity.join_tokens.get_mut(id).ok_or_else(|| unknown("join token", id))?;
    if token.is_used_up() && !token.used_by.contains(node) {
        return Err(invalid(format!("join token {id} was used by another node")));
    }
    changed(token.used_by.insert(node.clone()))
}

pub(super) fn token_deleted(state: &mut State, id: &JoinTokenId) -> Effect {
    state.identity.join_tokens.remove(id).map(|_| ()).ok_or_else(|| unknown("join token", id))
}

/// A name belongs to its first key and a key to its first name, and a key that was thrown out stays out.
pub(super) fn admitted(state: &mut State, node: &NodeId, key: &KeyFingerprint) -> Effect {
    if state.identity.revoked.contains_key(key) {
        return Err(invalid(format!("the key of node {node} was revoked")));
    }
    let mut others = state.identity.admitted.iter().filter(|(name, _)| *name != node);
    if let Some((other, _)) = others.find(|(_, known)| *known == key) {
        return Err(invalid(format!("the key of node {node} is that of node {other}")));
    }
    match state.identity.admitted.entry(node.clone()) {
        Entry::Occupied(known) if known.get() == key => Err(Skip::NoChange),
        Entry::Occupied(_) => Err(invalid(format!("node {node} has another key"))),
        Entry::Vacant(place) => {
            place.insert(key.clone());
            Ok(())
        }
    }
}

pub(super) fn revoked(state: &mut State, node: &NodeId) -> Effect {
    let key = state.identity.admitted.remove(node).ok_or_else(|| unknown("node", node))?;
    state.identity.revoked.insert(key, node.clone());
    Ok(())
}

/// The same of a key that another session knew; its node may be unknown here, or have a new key by now.
pub(super) fn key_revoked(state: &mut State, node: &NodeId, key: &KeyFingerprint) -> Effect {
    state.identity.admitted.retain(|_, known| known != key);
    changed(state.identity.revoked.insert(key.clone(), node.clone()).is_none())
}
