//! The machine's sleep: a service leaves the cluster before, so that nobody waits for a machine that does not answer.

use exo_systemd::{SleepWatch, Systemd};
use exo_telemetry::Notifier;
use std::future::pending;
use tokio::time::{MissedTickBehavior, interval};

/// What is told to whoever asks what holds the machine up.
const WHY: &str = "leaves the cluster before the machine sleeps";

/// The machine's sleep, if there is somebody who tells of it.
pub(crate) struct Sleep(Option<SleepWatch>);

impl Sleep {
    /// Asks logind; without it the machine never sleeps, as far as this process knows.
    pub(crate) async fn watch() -> Self {
        let Some(systemd) = Systemd::of_machine().await else { return Self(None) };
        match systemd.watch_sleep(WHY).await {
            Ok(watch) => Self(Some(watch)),
            Err(error) => {
                tracing::debug!(%error, "nobody tells when this machine sleeps");
                Self(None)
            }
        }
    }

    /// Waits until the machine is about to sleep.
    pub(crate) async fn falls_asleep(&mut self) {
        match &mut self.0 {
            Some(watch) => watch.falls_asleep().await,
            None => pending().await,
        }
    }

    /// Lets it sleep, and waits until it is awake. The service manager is kept quiet meanwhile.
    pub(crate) async fn sleep_through(&mut self, notifier: &Notifier) {
        let Some(watch) = &mut self.0 else { return };
        watch.let_sleep();
        let mut ticks = interval(notifier.rest_period());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut wakes = std::pin::pin!(watch.wakes());
        loop {
            tokio::select! {
                biased;
                () = wakes.as_mut() => break,
                _ = ticks.tick() => notifier.rest("asleep; comes back when the machine wakes"),
            }
        }
        tracing::info!("the machine is awake: going back to the cluster");
    }
}
