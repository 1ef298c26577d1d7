//! After the faults stop everything that is asked for is placed, and what is placed is ready.

use super::Holds;
use exo_state::State;

pub(crate) const NAME: &str = "what is asked for is served";

/// Looks at a State of the end.
pub(crate) fn check(state: &State) -> Holds {
    if let Some(intent) = state.open_intents().next() {
        return Err(format!("{} is asked for and not placed", intent.id));
    }
    match state.instances.values().find(|instance| !state.is_ready(instance)) {
        Some(instance) => {
            let runners = instance.shard_assignments.runner_to_shard.keys();
            let statuses: Vec<_> = runners.map(|runner| (runner.as_str(), state.runners.get(runner))).collect();
            Err(format!("instance {} is not ready: {statuses:?}", instance.instance_id))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::intent;

    #[test]
    fn a_wish_without_an_instance_is_seen() {
        assert!(check(&State::default()).is_ok());
        let mut state = State::default();
        let intent = intent("i");
        state.intents.insert(intent.id.clone(), intent);
        assert!(check(&state).is_err());
    }
}
