//! Every request and every command ends by its deadline, whatever happens to whoever works on it.

use super::Holds;
use std::time::Duration;

pub(crate) const NAME: &str = "every request ends by its deadline";

/// Timers go off in whole milliseconds, and what goes off then may wait for one more.
const GRAIN: Duration = Duration::from_millis(10);

/// `took` is measured by the client, from before it asked.
pub(crate) fn check(what: &str, took: Duration, deadline: Duration) -> Holds {
    if took <= deadline + GRAIN { Ok(()) } else { Err(format!("{what} took {took:?}, its deadline is {deadline:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_late_is_seen() {
        let deadline = Duration::from_secs(2);
        assert!(check("a", deadline, deadline).is_ok());
        assert!(check("a", deadline * 2, deadline).is_err());
    }
}
