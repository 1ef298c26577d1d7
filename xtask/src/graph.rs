//! The crate graph, as text.

use crate::layer::Layer;
use crate::workspace::{Member, Workspace};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

/// The document that carries the graph, and the lines around it.
const DOCUMENT: &str = "docs/ARCHITECTURE.md";
const BEGIN: &str = "<!-- cargo xtask graph -->\n```text\n";
const END: &str = "```\n<!-- end of cargo xtask graph -->";

/// Prints the graph, or writes it into the document.
pub fn run(write: bool) -> Result<()> {
    let workspace = Workspace::read()?;
    if !write {
        print!("{}", draw(&workspace));
        return Ok(());
    }
    let path = workspace.root.join(DOCUMENT);
    let text = fs::read_to_string(&path).context(DOCUMENT)?;
    let (before, _, after) = cut(&text)?;
    fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", draw(&workspace))).context(DOCUMENT)
}

/// Compares the document's graph with the real one.
pub fn check(workspace: &Workspace) -> Result<()> {
    let text = fs::read_to_string(workspace.root.join(DOCUMENT)).context(DOCUMENT)?;
    let (_, drawn, _) = cut(&text)?;
    ensure!(drawn == draw(workspace), "{DOCUMENT}: the crate graph is old; `cargo xtask graph --write` renews it");
    Ok(())
}

fn cut(text: &str) -> Result<(&str, &str, &str)> {
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("{DOCUMENT}: no line {BEGIN:?}"))?;
    let (drawn, after) = rest.split_once(END).with_context(|| format!("{DOCUMENT}: no line {END:?}"))?;
    Ok((before, drawn, after))
}

/// One line a crate, layer by layer; what follows from another arrow is left out.
fn draw(workspace: &Workspace) -> String {
    let mut text = String::new();
    for layer in Layer::ALL {
        let _ = writeln!(text, "{}", layer.name());
        for member in workspace.of_layer(layer) {
            let arrows = direct(workspace, member);
            let arrow = if arrows.is_empty() { "" } else { " → " };
            let _ = writeln!(text, "  {:<16}{arrow}{}", member.name, arrows.join(" "));
        }
    }
    text
}

fn direct(workspace: &Workspace, member: &Member) -> Vec<String> {
    let own: Vec<&Member> = workspace.own_dependencies(member).collect();
    let mut implied = BTreeSet::new();
    for dependency in &own {
        reach(workspace, dependency, &mut implied);
    }
    own.iter().map(|dependency| dependency.name.clone()).filter(|name| !implied.contains(name)).collect()
}

fn reach(workspace: &Workspace, member: &Member, found: &mut BTreeSet<String>) {
    for dependency in workspace.own_dependencies(member) {
        if found.insert(dependency.name.clone()) {
            reach(workspace, dependency, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::testing::workspace;
    use std::path::Path;

    const CRATES: [(&str, Layer, &[&str]); 3] =
        [("a", Layer::Pure, &["serde"]), ("b", Layer::Io, &["a"]), ("c", Layer::Service, &["a", "b"])];

    #[test]
    fn an_arrow_that_follows_from_others_is_left_out() {
        let drawn = draw(&workspace(Path::new("/nowhere"), &CRATES));
        let lines: Vec<&str> = drawn.lines().map(str::trim_end).collect();
        let expect = [
            "pure",
            "  a",
            "engine",
            "io",
            "  b                → a",
            "glue",
            "service",
            "  c                → b",
            "test",
        ];
        assert_eq!(lines, expect);
    }

    #[test]
    fn an_old_graph_and_a_document_without_one_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let workspace = workspace(folder.path(), &CRATES);
        fs::create_dir(folder.path().join("docs")).expect("a folder");
        let check_with = |text: &str| {
            fs::write(folder.path().join(DOCUMENT), text).expect("the document is written");
            check(&workspace).err().map(|error| error.to_string())
        };
        let document = |graph: &str| format!("before\n{BEGIN}{graph}{END}\nafter\n");
        assert_eq!(check_with(&document(&draw(&workspace))), None);
        let old = check_with(&document("pure\n  a\n")).expect("it is old");
        assert!(old.contains("is old"), "{old}");
        for without in ["before\nafter\n", &format!("before\n{BEGIN}")] {
            let found = check_with(without).expect("there is none");
            assert!(found.contains("no line"), "{found}");
        }
    }
}
