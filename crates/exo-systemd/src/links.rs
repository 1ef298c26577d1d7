//! Links as systemd-networkd knows them.

use crate::bus::{BusError, Systemd, within};
use serde::{Deserialize, Serialize};
use zbus::zvariant::OwnedObjectPath;

/// How a link stands, as `networkctl` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkState {
    /// `eth0`.
    pub name: String,
    /// `bond`, `bridge` …; none for hardware.
    pub kind: Option<String>,
    /// `routable`, `enslaved`, `no-carrier` …
    pub operational: String,
    /// `carrier`; `degraded-carrier` where a member of a bond has lost its own.
    pub carrier: String,
}

#[zbus::proxy(
    interface = "org.freedesktop.network1.Manager",
    default_service = "org.freedesktop.network1",
    default_path = "/org/freedesktop/network1",
    gen_blocking = false
)]
trait Network {
    fn list_links(&self) -> zbus::Result<Vec<(i32, String, OwnedObjectPath)>>;
}

#[zbus::proxy(
    interface = "org.freedesktop.network1.Link",
    default_service = "org.freedesktop.network1",
    gen_blocking = false
)]
trait Link {
    fn describe(&self) -> zbus::Result<String>;
}

/// What of networkd's description is told.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    kind: Option<String>,
    #[serde(default)]
    operational_state: String,
    #[serde(default)]
    carrier_state: String,
}

impl Systemd {
    /// All but loopback, in networkd's order. An error where networkd does not run.
    pub async fn links(&self) -> Result<Vec<LinkState>, BusError> {
        let network = within(NetworkProxy::new(&self.0)).await?;
        let mut links = Vec::new();
        for (_, name, path) in within(network.list_links()).await?.into_iter().filter(|(_, name, _)| name != "lo") {
            let link = within(LinkProxy::builder(&self.0).path(path)?.build()).await?;
            let text = within(link.describe()).await?;
            match serde_json::from_str(&text) {
                Ok(Description { kind, operational_state, carrier_state }) => {
                    links.push(LinkState { name, kind, operational: operational_state, carrier: carrier_state });
                }
                Err(error) => tracing::debug!(%error, name, "networkd describes a link in words that are not known"),
            }
        }
        Ok(links)
    }
}
