//! The file of wanted instances: what `exo apply` makes true.
//!
//! ```toml
//! [instances.guide]
//! model = "exo-guide"
//! minNodes = 2
//! ```

use exo_types::{ModelId, Sharding};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A placed model that somebody wants there to be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Wanted {
    /// Which model.
    pub model: ModelId,
    /// On at least so many nodes.
    #[serde(default = "one")]
    pub min_nodes: u32,
    /// Only on these, by name or id; on any if none are named.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// How it is cut.
    #[serde(default)]
    pub sharding: Cut,
    /// Context in tokens; the cluster's own choice if there is none.
    #[serde(default)]
    pub context_length: Option<u32>,
}

/// How a model is cut, in the words of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cut {
    /// By layers.
    #[default]
    Pipeline,
    /// Within layers.
    Tensor,
}

impl From<Cut> for Sharding {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Pipeline => Self::Pipeline,
            Cut::Tensor => Self::Tensor,
        }
    }
}

/// Why a file of wanted instances cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WantedError {
    /// It is no TOML, or has other keys or values than those of [`Wanted`].
    #[error("{0}")]
    Syntax(String),
    /// It asks for an instance on no node.
    #[error("instance `{0}`: `minNodes` = 0 places nothing; write 1 or more, or take the instance out of the file")]
    NoNodes(String),
    /// It asks for more nodes than it names.
    #[error("instance `{name}`: `minNodes` = {wanted}, but `nodes` names only {named}; name more or ask for fewer")]
    TooFewNamed {
        /// Which instance.
        name: String,
        /// Nodes that it asks for.
        wanted: u32,
        /// Nodes that it names.
        named: usize,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    instances: BTreeMap<String, Wanted>,
}

fn one() -> u32 {
    1
}

/// Reads the file's text. Instances come by their names, which are for people: two alike are two instances.
pub fn read_wanted(text: &str) -> Result<BTreeMap<String, Wanted>, WantedError> {
    let file: File =
        toml::from_str(text).map_err(|error| WantedError::Syntax(error.to_string().trim_end().to_owned()))?;
    for (name, wanted) in &file.instances {
        let named = wanted.nodes.len();
        if wanted.min_nodes == 0 {
            return Err(WantedError::NoNodes(name.clone()));
        }
        if named > 0 && named < wanted.min_nodes as usize {
            return Err(WantedError::TooFewNamed { name: name.clone(), wanted: wanted.min_nodes, named });
        }
    }
    Ok(file.instances)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_the_model_has_a_default() {
        let all = "[instances.big]\nmodel = \"m\"\nminNodes = 2\nnodes = [\"a\", \"b\"]\nsharding = \"tensor\"\ncontextLength = 8192\n";
        let read = read_wanted(&format!("{all}[instances.guide]\nmodel = \"exo-guide\"\n")).expect("a good file");
        let model = |name: &str| ModelId::new(name).expect("a good id");
        let guide = Wanted {
            model: model("exo-guide"),
            min_nodes: 1,
            nodes: Vec::new(),
            sharding: Cut::Pipeline,
            context_length: None,
        };
        let big = Wanted {
            model: model("m"),
            min_nodes: 2,
            nodes: vec!["a".to_owned(), "b".to_owned()],
            sharding: Cut::Tensor,
            context_length: Some(8192),
        };
        assert_eq!(read, BTreeMap::from([("big".to_owned(), big), ("guide".to_owned(), guide)]));
        assert_eq!(read_wanted("").expect("an empty file asks for nothing"), BTreeMap::new());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, parts) in [
            ("[instances.a]\nmodel = \"m\"\nmodle = 1\n", ["line 3", "modle"]),
            ("[instance.a]\nmodel = \"m\"\n", ["unknown field `instance`", "instances"]),
            ("[instances.a]\n", ["missing field", "model"]),
            ("[instances.a]\nmodel = \"two words\"\n", ["line 2", "two words"]),
            ("[instances.a]\nmodel = \"m\"\nsharding = \"slices\"\n", ["slices", "pipeline"]),
            ("[instances.a]\nmodel = \"m\"\nminNodes = 0\n", ["`a`", "minNodes"]),
            ("[instances.a]\nmodel = \"m\"\nminNodes = 3\nnodes = [\"x\"]\n", ["`a`", "names only 1"]),
            ("[instances.a]\nmodel = \"m\"\nminNodes = -1\n", ["line 3", "-1"]),
        ] {
            let error = read_wanted(text).expect_err(text).to_string();
            for part in parts {
                assert!(error.contains(part), "{part:?} is missing in {error:?}");
            }
        }
    }
}
