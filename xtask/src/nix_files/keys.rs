//! The page of options, the documents and templates that name options, and the schema of exo.toml agree.

use super::{OPTIONS, read};
use crate::tidy::tracked;
use anyhow::Result;
use exo_config::KEYS;
use std::collections::BTreeSet;
use std::path::Path;

/// Findings: keys that options name and that do not exist, options that documents name and that do not exist.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let page = read(root, OPTIONS)?;
    let mut findings = unknown_keys(&page);
    let options = options(&page);
    let is_read = |path: &Path| {
        let name = path.to_string_lossy();
        name != OPTIONS && (name == "README.md" || (name.starts_with("docs/") && name.ends_with(".md")))
    };
    for path in tracked(root)?.iter().filter(|path| is_read(path)) {
        let name = path.to_string_lossy();
        let text = read(root, &name)?;
        findings.extend(
            unknown_options(&text, &options)
                .into_iter()
                .map(|option| format!("{name} names services.exo.{option}, which {OPTIONS} does not have")),
        );
    }
    Ok(findings)
}

/// An option's text ends with the key that it sets: ``Key `api.port`.``
fn unknown_keys(page: &str) -> Vec<String> {
    let keys = page.split("Key `").skip(1).filter_map(|rest| rest.split('`').next());
    let unknown = keys.filter(|key| !KEYS.iter().any(|known| known.path == *key));
    unknown.map(|key| format!("{OPTIONS} names the key {key}, which exo.toml does not have")).collect()
}

fn options(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    headings.map(str::to_owned).collect()
}

/// Options as documents write them: `services.exo.api.bind`. A set of options may be named too; what follows `settings`
/// is a key, and so on for everything that has a name of the user's in it.
fn unknown_options(text: &str, options: &BTreeSet<String>) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let named = text.split("services.exo.").skip(1).map(|rest| {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default().trim_end_matches('.')
    });
    let is_known = |name: &str| {
        options.iter().any(|option| {
            let option = option.split(".<name>").next().unwrap_or_default();
            option == name || option.starts_with(&format!("{name}.")) || name.starts_with(&format!("{option}."))
        })
    };
    named.filter(|name| !name.is_empty() && !is_known(name)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        "### `api.bind`\nWhere. Key `api.bind`.\n### `instances.<name>.model`\nWhich.\n### `settings`\nKeys.\n";

    #[test]
    fn a_key_that_is_none_is_named() {
        assert_eq!(unknown_keys(PAGE), Vec::<String>::new());
        let said = unknown_keys("### `api.bind`\nKey `api.bound`.\n");
        assert!(said.iter().any(|finding| finding.contains("api.bound")), "{said:?}");
    }

    #[test]
    fn an_option_that_is_none_is_named() {
        let options = options(PAGE);
        let text = "Set services.exo.api.bind, or `services.exo.settings.api.port`, services.exo.instances.guide.model, services.exo.api.";
        assert_eq!(unknown_options(text, &options), Vec::<String>::new());
        assert_eq!(unknown_options("services.exo.api.bound = 1; services.exo.nodes", &options), ["api.bound", "nodes"]);
    }
}
