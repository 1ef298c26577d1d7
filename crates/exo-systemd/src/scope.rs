//! Scopes: processes with limits of their own, held by the service manager.

use crate::bus::{BusError, Systemd, within};
use zbus::zvariant::{OwnedObjectPath, Value};

/// Bounds of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScopeLimits {
    /// Most bytes of main memory, of all its processes together.
    pub memory: Option<u64>,
    /// Most processors.
    pub processors: Option<u32>,
}

const MICROSECONDS: u64 = 1_000_000;

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1",
    gen_blocking = false
)]
trait Scopes {
    fn start_transient_unit(
        &self,
        name: &str,
        mode: &str,
        properties: &[(&str, Value<'_>)],
        aux: &[(&str, &[(&str, Value<'_>)])],
    ) -> zbus::Result<OwnedObjectPath>;
}

impl Systemd {
    /// Moves a running process into a scope of its own; `name` ends with `.scope`. Refused unless this user may start
    /// units: root, or anybody in the session of their own.
    pub async fn start_scope(
        &self,
        name: &str,
        description: &str,
        pid: u32,
        limits: ScopeLimits,
    ) -> Result<(), BusError> {
        let scopes = within(ScopesProxy::new(&self.0)).await?;
        let mut properties = vec![
            ("Description", Value::from(description)),
            ("PIDs", Value::from(vec![pid])),
            ("CollectMode", Value::from("inactive-or-failed")),
        ];
        if let Some(bytes) = limits.memory {
            properties.push(("MemoryMax", Value::from(bytes)));
            // Swapped-out weights are slower than none.
            properties.push(("MemorySwapMax", Value::from(0_u64)));
        }
        if let Some(processors) = limits.processors {
            properties.push(("CPUQuotaPerSecUSec", Value::from(u64::from(processors) * MICROSECONDS)));
        }
        within(scopes.start_transient_unit(name, "fail", &properties, &[])).await?;
        Ok(())
    }
}
