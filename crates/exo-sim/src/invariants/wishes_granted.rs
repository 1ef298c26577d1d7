//! After the faults stop everything that is asked for is placed, and what is placed is ready.

use super::Holds;
use exo_state::State;
use exo_types::Instance;

pub(crate) const NAME: &str = "what is asked for is served";

/// Whether instances of several ranks have to be ready too. Not yet: two ranks that lose each other while they connect
/// are each told to call the life of the other that the State still shows, which is gone by then. Each gives up after a
/// while, which ends the life that the other was told of in the meantime, and so on for ever in step.
const RINGS_TOO: bool = false;

/// Looks at a State of the end.
pub(crate) fn check(state: &State) -> Holds {
    if let Some(intent) = state.open_intents().next() {
        return Err(format!("{} is asked for and not placed", intent.id));
    }
    let ranks = |instance: &Instance| instance.shard_assignments.runner_to_shard.len();
    let mut demanded = state.instances.values().filter(|instance| RINGS_TOO || ranks(instance) == 1);
    match demanded.find(|instance| !state.is_ready(instance)) {
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
