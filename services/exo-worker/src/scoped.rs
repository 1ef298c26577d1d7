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
        Self { host, systemd: Systemd::of_user().await, limits, is_told: AtomicBool::new(false) }
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
