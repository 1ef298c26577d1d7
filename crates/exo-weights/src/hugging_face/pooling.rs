//! How states become the vector of a text, where the directory is that of a sentence transformer.

use std::collections::BTreeMap;
use std::path::Path;

use exo_gguf::Value;

use super::family::Family;
use super::json::{self, Object};
use crate::error::DirectoryProblem;

const FILE: &str = "1_Pooling/config.json";

/// Ways of pooling with GGUF's numbers of them.
const WAYS: [(&str, u32); 3] =
    [("pooling_mode_mean_tokens", 1), ("pooling_mode_cls_token", 2), ("pooling_mode_lasttoken", 3)];

/// Sets how they are pooled, if the directory says it.
pub(super) fn set(
    folder: &Path,
    family: &Family,
    metadata: &mut BTreeMap<String, Value>,
) -> Result<(), DirectoryProblem> {
    let Some(whole) = json::opt_value(folder, FILE)? else { return Ok(()) };
    let object = Object::whole(FILE, &whole)?;
    for (key, number) in WAYS {
        if object.opt_flag(key)? == Some(true) {
            metadata.insert(format!("{}.pooling_type", family.architecture), number.into());
            return Ok(());
        }
    }
    Err(DirectoryProblem::Unsupported { what: format!("the pooling of {FILE}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hugging_face::family::family;

    #[test]
    fn the_way_of_pooling_becomes_ggufs_number() {
        let read = |text: &str| {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::create_dir(folder.path().join("1_Pooling")).expect("can be made");
            std::fs::write(folder.path().join(FILE), text).expect("writes");
            let mut metadata = BTreeMap::new();
            set(folder.path(), family("qwen3").expect("known"), &mut metadata).map(|()| metadata)
        };
        let last = read(r#"{"pooling_mode_mean_tokens":false,"pooling_mode_lasttoken":true}"#).expect("known");
        assert_eq!(last.get("qwen3.pooling_type"), Some(&3u32.into()));
        assert!(read(r#"{"pooling_mode_max_tokens":true}"#).is_err());
    }
}
