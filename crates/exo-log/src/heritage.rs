//! What a master takes along that leaves its session for another one.

use crate::opening::{fold_all, last_members};
use crate::{EventLog, StorageError};
use exo_state::State;
use std::sync::Arc;

/// So many voters are a majority only together: each has all that was acknowledged.
const ALL_HAVE_ALL: usize = 2;

impl EventLog {
    /// The State to take along. One or two voters have all that was acknowledged on their disks, known to be committed
    /// or not (nothing is when a log was just opened, and the last record is not until the next one comes): so it is
    /// everything in the log. Where more vote, what is not known to be committed may be something else elsewhere; their
    /// majority has it, and it is left out.
    ///
    /// What is appended after the call may be in it or not.
    pub async fn heritage(&self) -> Result<Arc<State>, StorageError> {
        // The records first: what is dropped from the log meanwhile is in the State then.
        let entries = self.shared.store.all().await?;
        let start = self.shared.machine.as_start();
        let own = self.member();
        let fold = move || {
            let voters = last_members(&start.meta, &entries).voters;
            let has_all = voters.len() <= ALL_HAVE_ALL && voters.contains(&own);
            if has_all { fold_all(&start, &entries).0 } else { start.content.state }
        };
        self.shared.executor.compute(fold).await.map_err(|error| StorageError {
            path: "log".to_owned(),
            action: "fold the log",
            reason: error.to_string(),
        })
    }
}
