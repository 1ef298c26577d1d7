//! Who belongs to the cluster, as the other session knows it.

use super::is_news;
use crate::draft::Draft;
use exo_state::{Horizon, JoinTokenState, State};
use exo_types::Event;

/// A key that was thrown out anywhere is out everywhere.
pub(super) fn revoke_keys(draft: &mut Draft, other: &State) {
    for (key_fingerprint, node_id) in &other.identity.revoked {
        if !draft.state().identity.revoked.contains_key(key_fingerprint) {
            let (node_id, key_fingerprint) = (node_id.clone(), key_fingerprint.clone());
            draft.push(Event::KeyRevoked { node_id, key_fingerprint });
        }
    }
}

/// Adds the nodes that were let in there, and the tokens with whom they let in. A name that is taken here stays taken.
pub(super) fn adopt(draft: &mut Draft, other: &State, own: &Horizon) {
    let births = &other.lineage.births;
    for token in other.identity.join_tokens.values() {
        let id = &token.token.id;
        let is_here = draft.state().identity.join_tokens.contains_key(id);
        if !is_here && is_news(own, &births.join_tokens, id) {
            draft.push(Event::JoinTokenCreated { token: token.token.clone() });
        }
        adopt_uses(draft, token);
    }
    for (node_id, key_fingerprint) in &other.identity.admitted {
        let identity = &draft.state().identity;
        let is_free = !identity.admitted.contains_key(node_id)
            && !identity.revoked.contains_key(key_fingerprint)
            && !identity.admitted.values().any(|known| known == key_fingerprint);
        if is_free && is_news(own, &births.admitted, node_id) {
            let (node_id, key_fingerprint) = (node_id.clone(), key_fingerprint.clone());
            draft.push(Event::NodeAdmitted { node_id, key_fingerprint });
        }
    }
}

/// A one-time token that both used, each for another node, let in the one that it let in here.
fn adopt_uses(draft: &mut Draft, token: &JoinTokenState) {
    let id = &token.token.id;
    for node_id in &token.used_by {
        let may = |here: &JoinTokenState| !here.is_used_up() && !here.used_by.contains(node_id);
        if draft.state().identity.join_tokens.get(id).is_some_and(may) {
            draft.push(Event::JoinTokenUsed { id: id.clone(), node_id: node_id.clone() });
        }
    }
}
