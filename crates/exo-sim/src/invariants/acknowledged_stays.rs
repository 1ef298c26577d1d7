//! What was acknowledged is in every later State; what was refused never happens; nothing happens twice.
//!
//! A command that failed otherwise is unknown: it may be there or not, as long as all agree.

use super::Holds;
use crate::oracle::Commanded;
use exo_types::CommandId;
use std::collections::BTreeMap;

pub(crate) const NAME: &str = "an acknowledged command stays";

/// Compares what clients were told with how often each command is in the one history.
pub(crate) fn check<'a>(
    told: impl Iterator<Item = (&'a CommandId, &'a Commanded)>,
    happened: &BTreeMap<CommandId, usize>,
) -> Vec<String> {
    told.filter_map(|(id, commanded)| one(id, commanded, happened.get(id).copied().unwrap_or(0)).err()).collect()
}

fn one(id: &CommandId, commanded: &Commanded, times: usize) -> Holds {
    match (commanded, times) {
        (_, 2..) => Err(format!("command {id} was carried out {times} times")),
        (Commanded::Accepted, 0) => Err(format!("command {id} was acknowledged and is lost")),
        (Commanded::Refused, 1) => Err(format!("command {id} was refused and carried out all the same")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_compared_with_what_happened() {
        let id = CommandId::new("c").expect("a good id");
        for (told, times, holds) in [
            (Commanded::Accepted, 1, true),
            (Commanded::Accepted, 0, false),
            (Commanded::Accepted, 2, false),
            (Commanded::Refused, 0, true),
            (Commanded::Refused, 1, false),
            (Commanded::Unknown, 0, true),
            (Commanded::Unknown, 1, true),
            (Commanded::Unknown, 2, false),
            (Commanded::UnderWay, 1, true),
        ] {
            let happened = BTreeMap::from([(id.clone(), times)]);
            let found = check([(&id, &told)].into_iter(), &happened);
            assert_eq!(found.is_empty(), holds, "{told:?} {times}");
        }
    }
}
