//! The operating system.

use crate::read;

/// `Debian GNU/Linux 12 (bookworm)`; `Linux` if nothing is told.
pub fn os_name() -> String {
    let told = read("/etc/os-release").or_else(|| read("/usr/lib/os-release"));
    told.as_deref().and_then(pretty_name).unwrap_or_else(|| "Linux".to_owned())
}

/// The name of this machine; empty if it has none.
pub fn host_name() -> String {
    read("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

fn pretty_name(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    let name = value.trim().trim_matches(['"', '\'']);
    (!name.is_empty()).then(|| name.chars().filter(|c| !c.is_control()).take(128).collect())
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
