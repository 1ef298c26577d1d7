//! Commands about who belongs to the cluster.

use super::{Decision, refuse};
use exo_state::State;
use exo_types::{Event, JoinTokenId, JoinTokenRecord, KeyFingerprint, Millis, NodeId, Refusal, RefusalCode};

/// Tokens that may be known at a time: they are in every snapshot.
const TOKENS: usize = 1024;

/// A token that is of no use any more makes room for it.
pub(super) fn create_token(state: &State, token: &JoinTokenRecord, now: Millis) -> Result<Decision, Refusal> {
    let known = &state.identity.join_tokens;
    if known.contains_key(&token.id) {
        return refuse(RefusalCode::Invalid, format!("join token {} exists already", token.id));
    }
    let useless = known.values().filter(|known| known.token.is_expired(now) || known.is_used_up());
    let mut events: Vec<Event> = useless.map(|known| Event::JoinTokenDeleted { id: known.token.id.clone() }).collect();
    if known.len() < TOKENS {
        events.clear();
    } else if events.is_empty() {
        return refuse(
            RefusalCode::Invalid,
            format!("{TOKENS} join tokens are valid; delete some, or let them expire"),
        );
    }
    events.push(Event::JoinTokenCreated { token: token.clone() });
    Ok(Decision::of(events))
}

pub(super) fn delete_token(state: &State, id: &JoinTokenId) -> Result<Decision, Refusal> {
    if !state.identity.join_tokens.contains_key(id) {
        return refuse(RefusalCode::NotFound, format!("there is no join token {id}"));
    }
    Ok(Decision::of(vec![Event::JoinTokenDeleted { id: id.clone() }]))
}

pub(super) fn admit(
    state: &State,
    node_id: &NodeId,
    key_fingerprint: &KeyFingerprint,
    token: Option<&JoinTokenId>,
) -> Result<Decision, Refusal> {
    if state.identity.revoked.contains_key(key_fingerprint) {
        let message = format!("node {node_id} was revoked; it comes in again with a new key and a new join token only");
        return refuse(RefusalCode::Forbidden, message);
    }
    let mut others = state.identity.admitted.iter().filter(|(name, _)| *name != node_id);
    if let Some((other, _)) = others.find(|(_, known)| *known == key_fingerprint) {
        let message = format!("the key of node {node_id} is that of node {other}; a copied data directory is no node");
        return refuse(RefusalCode::Forbidden, message);
    }
    match state.identity.admitted.get(node_id) {
        Some(known) if known == key_fingerprint => return Ok(Decision::of(Vec::new())),
        Some(_) => {
            let message = format!("another node is called {node_id}; revoke that one first, or take another name");
            return refuse(RefusalCode::Forbidden, message);
        }
        None => {}
    }
    let mut events: Vec<Event> = Vec::new();
    if let Some(id) = token {
        check_token(state, id, node_id)?;
        events.push(Event::JoinTokenUsed { id: id.clone(), node_id: node_id.clone() });
    }
    events.push(Event::NodeAdmitted { node_id: node_id.clone(), key_fingerprint: key_fingerprint.clone() });
    Ok(Decision::of(events))
}

fn check_token(state: &State, id: &JoinTokenId, node_id: &NodeId) -> Result<(), Refusal> {
    let another = "get another with `exo cluster token`";
    let Some(token) = state.identity.join_tokens.get(id) else {
        return refuse(RefusalCode::Forbidden, format!("the join token is not known; {another}"));
    };
    if token.is_used_up() && !token.used_by.contains(node_id) {
        return refuse(RefusalCode::Forbidden, format!("the join token was used by another node; {another}"));
    }
    Ok(())
}

pub(super) fn revoke(state: &State, node_id: &NodeId) -> Result<Decision, Refusal> {
    if !state.identity.admitted.contains_key(node_id) {
        return refuse(RefusalCode::NotFound, format!("no node {node_id} belongs to the cluster"));
    }
    Ok(Decision::of(vec![Event::NodeRevoked { node_id: node_id.clone() }]))
}
