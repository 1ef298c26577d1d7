//! Runners in scopes of their own, where a service manager takes orders from this user.

use exo_runner_host::{Boxed, Runner, RunnerEvents, RunnerHost, RunnerProgram, SpawnError, StartRunners};
use exo_systemd::{ScopeLimits, Systemd};
use std::sync::atomic::{AtomicBool, Ordering};

/// What a runner's process needs beside its weights and caches: code, stacks, buffers of its sockets.
const OVERHEAD: u64 = 256 << 20;

/// Starts processes and hands them to the service manager, so that the kernel holds them to their limits. What the
/// manager refuses runs as a plain process: its engine keeps to the same limit by itself.
pub(crate) struct ScopedHost {
    host: RunnerHost,
    systemd: Option<Systemd>,
    limits: ScopeLimits,
    /// A refusal is told once: it does not change while the worker runs.
    is_told: AtomicBool,
}

impl ScopedHost {
    /// `memory` is what the engine may take, `processors` what it may use.
    pub(crate) async fn new(host: RunnerHost, memory: Option<u64>, processors: Option<u32>) -> Self {
        let memory = memory.map(|bytes| bytes.saturating_add(OVERHEAD));
        let limits = ScopeLimits { memory, processors };
        // A service's own processes stay in the cgroup that its unit bounds, unless it may ask for others.
        let systemd = Systemd::of_user().await;
        if let Some(notice) = notice(limits, systemd.is_some()) {
            tracing::info!("{notice}");
        }
        Self { host, systemd, limits, is_told: AtomicBool::new(false) }
    }

    async fn put_into_scope(&self, name: &str, pid: u32) {
        let Some(systemd) = &self.systemd else { return };
        // The number tells a replacement from what it replaces.
        let unit = format!("exo-runner-{pid}.scope");
        match systemd.start_scope(&unit, &format!("exo runner {name}"), pid, self.limits).await {
            Ok(()) => tracing::debug!(unit, "a runner has a scope of its own"),
            Err(error) if !self.is_told.swap(true, Ordering::Relaxed) => {
                tracing::info!(%error, "runners stay in the worker's own cgroup: the service manager gives them no scope");
            }
            Err(_) => {}
        }
    }
}

/// What a person has to know who set limits that no scope will enforce.
fn notice(limits: ScopeLimits, has_manager: bool) -> Option<&'static str> {
    (limits != ScopeLimits::default() && !has_manager).then_some(
        "runners keep to runner.memoryLimit and engine.threads by themselves, and no scope enforces it: this user has no \
         service manager; MemoryMax= and CPUQuota= of the worker's unit hold all of them together",
    )
}

impl StartRunners for ScopedHost {
    fn start(&self, what: RunnerProgram) -> Boxed<'_, Result<(Runner, RunnerEvents), SpawnError>> {
        Box::pin(async move {
            let name = what.name.clone();
            let (runner, events) = self.host.spawn(what).await?;
            self.put_into_scope(&name, runner.pid()).await;
            Ok((runner, events))
        })
    }

    fn drained(&self) -> Boxed<'_, ()> {
        Box::pin(self.host.drained())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_no_scope_enforces_are_told_and_nothing_else_is() {
        let memory = ScopeLimits { memory: Some(1 << 30), processors: None };
        let processors = ScopeLimits { memory: None, processors: Some(2) };
        for (limits, has_manager, is_told) in [
            (ScopeLimits::default(), false, false),
            (ScopeLimits::default(), true, false),
            (memory, false, true),
            (memory, true, false),
            (processors, false, true),
            (processors, true, false),
        ] {
            assert_eq!(notice(limits, has_manager).is_some(), is_told, "{limits:?}, {has_manager}");
        }
    }
}
