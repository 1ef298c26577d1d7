//! Directories, files, disks.

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use exo_hardware::DiskKind;
use exo_types::Memory;

/// The log cannot be trusted to be written any more.
const FULL: Memory = Memory::mib(128);
/// A few days of a busy log, and no model.
const NEARLY_FULL: Memory = Memory::mib(2 << 10);

pub(super) fn data_dir(facts: &Facts, findings: &mut Vec<Finding>) {
    let path = facts.config.data_dir.display();
    if facts.storage.hangs {
        findings.push(Finding::error(
            "dataDir",
            format!("dataDir {path} or a directory of models does not answer"),
            "see dmesg for its disk, or the network for a disk on another machine",
        ));
    } else if let Some(reason) = &facts.storage.data_dir {
        findings.push(Finding::error(
            "dataDir",
            format!("dataDir {path} cannot be written to: {reason}"),
            "give it to the user that runs exo (as which this command has to be run), or set dataDir",
        ));
    }
}

/// exo would begin as a new node on the wrong disk.
pub(super) fn mounts(facts: &Facts, findings: &mut Vec<Finding>) {
    for (key, path, mount) in &facts.storage.missing_mounts {
        let (path, mount) = (path.display(), mount.display());
        let message = format!("{key} {path} lies below {mount}, which /etc/fstab mounts, and nothing is mounted there");
        let remedy = format!("`mount {mount}`; for the units: RequiresMountsFor={path}");
        findings.push(match *key {
            "dataDir" => Finding::error("mounts", message, remedy),
            _ => Finding::warning("mounts", message, remedy),
        });
    }
}

pub(super) fn files(facts: &Facts, findings: &mut Vec<Finding>) {
    for (key, path, reason) in &facts.storage.unreadable {
        let message = format!("{} ({key}) cannot be read: {reason}", path.display());
        let remedy = format!("let the user that runs exo read it, or set {key}");
        findings.push(match *key {
            "api.keyFile" => Finding::error("keyFile", message, remedy),
            _ => Finding::warning("files", message, remedy),
        });
    }
}

pub(super) fn tls(facts: &Facts, findings: &mut Vec<Finding>) {
    let remedy = "without `api.tls.certificate` and `api.tls.key` the API speaks HTTP";
    findings.extend(facts.storage.tls.as_ref().map(|reason| Finding::error("tls", reason, remedy)));
}

pub(super) fn space(facts: &Facts, findings: &mut Vec<Finding>) {
    let Some(disk) = &facts.storage.disk else { return };
    let path = facts.config.data_dir.display();
    let remedy = "make room, or set dataDir to another disk";
    match disk.free {
        Some(free) if free < FULL => {
            let message = format!("dataDir {path} has {free} left; the log needs {FULL}");
            findings.push(Finding::error("disk", message, remedy));
        }
        Some(free) if free < NEARLY_FULL => {
            findings.push(Finding::warning("disk", format!("dataDir {path} has only {free} left"), remedy));
        }
        _ => {}
    }
    if disk.kind == DiskKind::Memory {
        let message = format!("dataDir {path} lies in main memory ({}): a restart forgets it", disk.file_system);
        findings.push(Finding::warning("lasting", message, "set dataDir to a disk, unless that is wanted"));
    }
}
