//! States of units.

use crate::bus::{BusError, Systemd, within};
use serde::Serialize;
use zbus::zvariant::OwnedObjectPath;

/// How a unit stands, as `systemctl status` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnitState {
    /// `exo-worker.service`.
    pub name: String,
    /// `active`, `activating`, `failed` …
    pub active: String,
    /// More exactly: `running`, `auto-restart` …
    pub sub: String,
    /// What the service says of itself.
    pub status: String,
    /// How often it was started again by itself.
    pub restarts: u32,
}

/// Name, description, load state, active state, sub-state, followed, path, job's number, type and path.
type Listed = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1",
    gen_blocking = false
)]
trait Manager {
    fn list_units_by_names(&self, names: &[&str]) -> zbus::Result<Vec<Listed>>;
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Service",
    default_service = "org.freedesktop.systemd1",
    gen_blocking = false
)]
trait Service {
    #[zbus(property(emits_changed_signal = "false"))]
    fn status_text(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"), name = "NRestarts")]
    fn restarts(&self) -> zbus::Result<u32>;
}

impl Systemd {
    /// Those of the services that are installed here.
    pub async fn units(&self, names: &[&str]) -> Result<Vec<UnitState>, BusError> {
        let manager = within(ManagerProxy::new(&self.0)).await?;
        let mut units = Vec::new();
        for (name, _, load, active, sub, _, path, ..) in within(manager.list_units_by_names(names)).await? {
            if load == "loaded" {
                let service = within(ServiceProxy::builder(&self.0).path(path)?.build()).await?;
                let status = within(service.status_text()).await.unwrap_or_default();
                let restarts = within(service.restarts()).await.unwrap_or_default();
                units.push(UnitState { name, active, sub, status, restarts });
            }
        }
        Ok(units)
    }
}
