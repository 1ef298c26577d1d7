//! The workspace as cargo sees it.

use crate::layer::Layer;
use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand, Package};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One of our crates.
pub struct Member {
    /// Its name, which is its folder's.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Its layer.
    pub layer: Layer,
    /// What it needs when it is built for use, ours and others', by name.
    pub dependencies: Vec<String>,
}

/// All of our crates, and where the workspace is.
pub struct Workspace {
    /// Its folder.
    pub root: PathBuf,
    /// By name.
    pub members: BTreeMap<String, Member>,
}

impl Workspace {
    /// Asks cargo.
    pub fn read() -> Result<Self> {
        let metadata = MetadataCommand::new().no_deps().exec().context("cargo metadata")?;
        let members = metadata.workspace_packages().into_iter().map(member).collect::<Result<Vec<_>>>()?;
        let members = members.into_iter().map(|member| (member.name.clone(), member)).collect();
        Ok(Self { root: metadata.workspace_root.into_std_path_buf(), members })
    }

    /// The crates of a layer, by name.
    pub fn of_layer(&self, layer: Layer) -> impl Iterator<Item = &Member> {
        self.members.values().filter(move |member| member.layer == layer)
    }

    /// Our own crates that a member needs.
    pub fn own_dependencies<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = &'a Member> {
        member.dependencies.iter().filter_map(|name| self.members.get(name))
    }
}

fn member(package: &Package) -> Result<Member> {
    let layer = package.metadata.pointer("/exo/layer").and_then(|value| value.as_str());
    let layer = layer.with_context(|| format!("{}: no [package.metadata.exo] layer", package.name))?;
    let mut dependencies: Vec<_> = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal)
        .map(|dependency| dependency.name.clone())
        .collect();
    dependencies.sort();
    let folder = package.manifest_path.parent().context("a manifest has a folder")?;
    Ok(Member {
        name: package.name.to_string(),
        folder: folder.as_std_path().to_path_buf(),
        layer: Layer::parse(layer).with_context(|| package.name.to_string())?,
        dependencies,
    })
}

#[cfg(test)]
pub mod testing {
    //! Workspaces that do not exist.

    use super::{Layer, Member, Workspace};
    use std::path::Path;

    /// Crates at a place: their names, their layers, what they depend on.
    pub fn workspace(root: &Path, crates: &[(&str, Layer, &[&str])]) -> Workspace {
        let member = |(name, layer, dependencies): &(&str, Layer, &[&str])| Member {
            name: (*name).to_owned(),
            folder: root.join(name),
            layer: *layer,
            dependencies: dependencies.iter().map(|name| (*name).to_owned()).collect(),
        };
        let members = crates.iter().map(member).map(|member| (member.name.clone(), member)).collect();
        Workspace { root: root.to_owned(), members }
    }
}
