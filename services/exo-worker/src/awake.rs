//! Keeping the machine awake while it answers.

use exo_systemd::Systemd;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// A pause between two answers is no reason to let the machine fall asleep.
const LINGER: Duration = Duration::from_secs(30);

/// Holds a lock against idle sleep while `busy` is true and for a while after. Ends with its sender.
pub(crate) async fn keep_awake(mut busy: watch::Receiver<bool>) {
    while busy.wait_for(|busy| *busy).await.is_ok() {
        let Some(systemd) = Systemd::of_machine().await else { return };
        let lock = match systemd.keep_awake("answers a request").await {
            Ok(lock) => lock,
            Err(error) => return tracing::debug!(%error, "logind takes no locks against idle sleep here"),
        };
        while busy.wait_for(|busy| !*busy).await.is_ok() {
            // Busy again in time: the lock stays.
            if timeout(LINGER, busy.wait_for(|busy| *busy)).await.is_err() {
                break;
            }
        }
        drop(lock);
    }
}
