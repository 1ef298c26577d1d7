//! After the faults stop everybody ends in one session, with everything that is in it.

use super::Holds;
use exo_state::State;
use exo_types::SessionId;
use std::sync::Arc;

pub(crate) const NAME: &str = "all end in one session";

/// Somebody at the end.
#[derive(Debug, Clone)]
pub(crate) struct Final {
    pub(crate) who: String,
    /// To which it belongs, or which it follows.
    pub(crate) session: Option<SessionId>,
    pub(crate) state: Arc<State>,
}

/// Looks at everybody at one time.
pub(crate) fn check(all: &[Final]) -> Holds {
    let Some(first) = all.first() else { return Ok(()) };
    for one in all {
        let Some(session) = &one.session else { return Err(format!("{} is in no session", one.who)) };
        if one.state.session.as_ref() != Some(session) {
            return Err(format!("{} belongs to session {session} and has no State of it", one.who));
        }
        let (own, of_first) = (one.state.last_event_applied_idx, first.state.last_event_applied_idx);
        if first.session.as_ref() != Some(session) || own != of_first {
            let first_session = first.session.as_ref().map(ToString::to_string).unwrap_or_default();
            let (who, other) = (&one.who, &first.who);
            return Err(format!("{who} is at {own} of session {session}, {other} at {of_first} of {first_session}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::{EventIndex, NodeId};

    #[test]
    fn who_stays_apart_or_behind_is_seen() {
        let session = |generation| SessionId { generation, master_node_id: NodeId::new("a").expect("a good id") };
        let at = |generation, idx| {
            let session = Some(session(generation));
            let state = State { session: session.clone(), last_event_applied_idx: EventIndex(idx), ..State::default() };
            Final { who: "x".to_owned(), session, state: Arc::new(state) }
        };
        assert!(check(&[at(1, 4), at(1, 4)]).is_ok());
        assert!(check(&[at(1, 4), at(2, 4)]).is_err());
        assert!(check(&[at(1, 4), at(1, 3)]).is_err());
        assert!(check(&[at(1, 4), Final { session: None, ..at(1, 4) }]).is_err());
        assert!(check(&[at(1, 4), Final { session: Some(session(1)), ..at(2, 4) }]).is_err());
    }
}
