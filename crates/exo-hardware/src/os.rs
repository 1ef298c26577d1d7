//! The operating system, and the machine as its maker calls it.

use crate::Sysfs;

/// `Debian GNU/Linux 12 (bookworm)`; `Linux` if nothing is told.
pub fn os_name() -> String {
    os_name_of(&Sysfs::host())
}

pub(crate) fn os_name_of(sysfs: &Sysfs) -> String {
    let told = sysfs.read("/etc/os-release").or_else(|_| sysfs.read("/usr/lib/os-release"));
    told.ok().as_deref().and_then(pretty_name).unwrap_or_else(|| "Linux".to_owned())
}

/// The name of this machine; empty if it has none.
pub fn host_name() -> String {
    host_name_of(&Sysfs::host())
}

pub(crate) fn host_name_of(sysfs: &Sysfs) -> String {
    sysfs.text("/proc/sys/kernel/hostname").unwrap_or_default()
}

pub(crate) fn kernel_of(sysfs: &Sysfs) -> String {
    sysfs.text("/proc/sys/kernel/osrelease").unwrap_or_default()
}

/// `NVIDIA DGX H100`, `Raspberry Pi 5 Model B Rev 1.0`.
pub(crate) fn machine_of(sysfs: &Sysfs) -> Option<String> {
    let dmi = |name: &str| {
        let text = sysfs.text(&format!("/sys/class/dmi/id/{name}"))?;
        // What makers leave in boards that somebody else builds in.
        let is_named = !["to be filled by o.e.m.", "default string", "system product name", "none"]
            .contains(&text.to_lowercase().as_str());
        is_named.then(|| plain(&text))
    };
    let product = || match (dmi("sys_vendor"), dmi("product_name")) {
        (Some(vendor), Some(product)) if !product.starts_with(&vendor) => Some(format!("{vendor} {product}")),
        (_, product) => product,
    };
    sysfs.text("/proc/device-tree/model").map(|model| plain(&model)).or_else(product)
}

fn pretty_name(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    let name = value.trim().trim_matches(['"', '\'']);
    (!name.is_empty()).then(|| plain(name))
}

/// Names come from firmware and files: nothing that moves a cursor, and not too long.
pub(crate) fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(128).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pretty_name_is_read_without_its_quotes() {
        let check = |text: &str, expect: Option<&str>| assert_eq!(pretty_name(text).as_deref(), expect);
        check("NAME=x\nPRETTY_NAME=\"NixOS 26.05 (Yarara)\"\n", Some("NixOS 26.05 (Yarara)"));
        check("PRETTY_NAME=Alpine\n", Some("Alpine"));
        check("PRETTY_NAME=\"\"\n", None);
        check("", None);
    }
}
