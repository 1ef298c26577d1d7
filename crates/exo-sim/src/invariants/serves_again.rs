//! After the faults stop the cluster serves within its time: a command is accepted, and every api answers.

use super::Holds;
use std::time::Duration;

pub(crate) const NAME: &str = "serves again";

/// `after` is how long it took since the faults stopped; none if it did not come to it.
pub(crate) fn check(what: &str, after: Option<Duration>, within: Duration, last_word: &str) -> Holds {
    match after {
        Some(after) if after <= within => Ok(()),
        Some(after) => Err(format!("{what} took {after:?} after the faults stopped, {within:?} are allowed")),
        None => Err(format!("{what} did not succeed within {within:?} after the faults stopped: {last_word}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_late_is_as_bad_as_never() {
        let limit = Duration::from_secs(10);
        assert!(check("a chat", Some(limit), limit, "").is_ok());
        assert!(check("a chat", Some(limit * 2), limit, "").is_err());
        assert!(check("a chat", None, limit, "not ready").is_err());
    }
}
