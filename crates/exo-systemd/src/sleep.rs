//! Sleep, as systemd-logind announces it.

use crate::bus::{BusError, Systemd, within};
use futures::StreamExt;
use zbus::zvariant::OwnedFd;

const WHO: &str = "exo";

#[zbus::proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1",
    gen_blocking = false
)]
trait Login {
    fn inhibit(&self, what: &str, who: &str, why: &str, mode: &str) -> zbus::Result<OwnedFd>;
    #[zbus(signal)]
    fn prepare_for_sleep(&self, start: bool) -> zbus::Result<()>;
}

/// Keeps the machine from falling asleep for want of use, until it is dropped. Whoever sends it to sleep is obeyed.
#[derive(Debug)]
pub struct IdleLock(#[expect(dead_code, reason = "held for its drop")] OwnedFd);

/// Tells when the machine falls asleep and wakes, and holds it up for a moment before.
pub struct SleepWatch {
    login: LoginProxy<'static>,
    signals: PrepareForSleepStream,
    why: String,
    delay: Option<OwnedFd>,
}

impl Systemd {
    /// Keeps the machine awake while something is under way.
    pub async fn keep_awake(&self, why: &str) -> Result<IdleLock, BusError> {
        let login = within(LoginProxy::new(&self.0)).await?;
        Ok(IdleLock(within(login.inhibit("idle", WHO, why, "block")).await?))
    }

    /// Watches for sleep. `why` is told to whoever asks what holds the machine up.
    pub async fn watch_sleep(&self, why: &str) -> Result<SleepWatch, BusError> {
        let login = within(LoginProxy::new(&self.0)).await?;
        let signals = within(login.receive_prepare_for_sleep()).await?;
        let mut watch = SleepWatch { login, signals, why: why.to_owned(), delay: None };
        watch.hold_up().await;
        Ok(watch)
    }
}

impl SleepWatch {
    /// Waits until the machine is about to sleep. It waits for [`let_sleep`](Self::let_sleep), a few seconds at most;
    /// for ever where logind is gone.
    pub async fn falls_asleep(&mut self) {
        self.until(true).await;
    }

    /// Holds the machine up no longer.
    pub fn let_sleep(&mut self) {
        self.delay = None;
    }

    /// Waits until it is awake again.
    pub async fn wakes(&mut self) {
        self.until(false).await;
        self.hold_up().await;
    }

    async fn until(&mut self, asleep: bool) {
        while let Some(signal) = self.signals.next().await {
            if signal.args().is_ok_and(|args| args.start == asleep) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Without the lock there is no time to say goodbye; the others notice a lost node anyway.
    async fn hold_up(&mut self) {
        match within(self.login.inhibit("sleep", WHO, &self.why, "delay")).await {
            Ok(lock) => self.delay = Some(lock),
            Err(error) => tracing::debug!(%error, "logind lets nobody hold up its sleep here"),
        }
    }
}
