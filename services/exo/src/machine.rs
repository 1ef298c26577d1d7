//! What systemd tells of this machine: exo's units, and bonds. Nothing where there is no systemd.

use crate::table::{bold, render};
use exo_systemd::{LinkState, Systemd, UnitState};
use serde::Serialize;

const UNITS: [&str; 3] = ["exo-master.service", "exo-worker.service", "exo-api.service"];

/// This machine, beside what the cluster tells.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct MachineReport {
    pub(crate) units: Vec<UnitState>,
    pub(crate) links: Vec<LinkState>,
}

/// Asks systemd and networkd; whoever does not answer has nothing to tell.
pub(crate) async fn report() -> MachineReport {
    let Some(systemd) = Systemd::of_machine().await else { return MachineReport::default() };
    let (units, links) = tokio::join!(systemd.units(&UNITS), systemd.links());
    MachineReport { units: units.unwrap_or_default(), links: links.unwrap_or_default() }
}

impl MachineReport {
    /// For people: the units, and the bonds; other links are the system's own business.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        if !self.units.is_empty() {
            let rows: Vec<_> = self.units.iter().map(unit_row).collect();
            text.push_str(&format!("\n{}\n", bold("Services of this machine")));
            text.push_str(&render(&["UNIT", "STATE", "RESTARTS", "SAYS"], &rows));
        }
        let bonds = self.links.iter().filter(|link| link.kind.as_deref() == Some("bond"));
        let rows: Vec<_> = bonds.map(link_row).collect();
        if !rows.is_empty() {
            text.push_str(&format!("\n{}\n", bold("Bonds of this machine")));
            text.push_str(&render(&["LINK", "STATE", "CARRIER"], &rows));
        }
        text
    }
}

fn unit_row(unit: &UnitState) -> Vec<String> {
    let state = format!("{} ({})", unit.active, unit.sub);
    vec![unit.name.clone(), state, unit.restarts.to_string(), unit.status.clone()]
}

fn link_row(link: &LinkState) -> Vec<String> {
    vec![link.name.clone(), link.operational.clone(), link.carrier.clone()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_systemd_has_nothing_to_tell() {
        assert_eq!(MachineReport::default().render(), "");
    }

    #[test]
    fn units_and_bonds_are_told_and_other_links_are_not() {
        let text = |text: &str| text.to_owned();
        let unit = UnitState {
            name: text("exo-worker.service"),
            active: text("activating"),
            sub: text("auto-restart"),
            status: text("port 1 is in use"),
            restarts: 4,
        };
        let link = |name: &str, kind: Option<&str>| LinkState {
            name: text(name),
            kind: kind.map(text),
            operational: text("routable"),
            carrier: text("degraded-carrier"),
        };
        let links = vec![link("bond0", Some("bond")), link("eth9", None)];
        let told = MachineReport { units: vec![unit], links }.render();
        for part in ["exo-worker.service", "activating (auto-restart)", "port 1 is in use", "bond0", "degraded-carrier"]
        {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(!told.contains("eth9"), "{told}");
    }
}
