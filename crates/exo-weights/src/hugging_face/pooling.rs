//! How states become the vector of a text, where the directory is that of a sentence transformer.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::family::Family;
use super::json::{self, Object};
use crate::error::DirectoryProblem;

const FILE: &str = "1_Pooling/config.json";
/// The steps from a text to its vector.
const STEPS_FILE: &str = "modules.json";
/// Those that are done: every vector is of length one.
const STEPS: [&str; 3] = ["Transformer", "Pooling", "Normalize"];

/// Ways of pooling with GGUF's numbers of them, and others; several at once make longer vectors.
const WAYS: [(&str, Option<u32>); 6] = [
    ("pooling_mode_mean_tokens", Some(1)),
    ("pooling_mode_cls_token", Some(2)),
    ("pooling_mode_lasttoken", Some(3)),
    ("pooling_mode_max_tokens", None),
    ("pooling_mode_mean_sqrt_len_tokens", None),
    ("pooling_mode_weightedmean_tokens", None),
];

/// Sets how they are pooled, if the directory says it.
pub(super) fn set(
    folder: &Path,
    family: &Family,
    metadata: &mut BTreeMap<String, exo_gguf::Value>,
) -> Result<(), DirectoryProblem> {
    check_steps(folder)?;
    let Some(whole) = json::opt_value(folder, FILE)? else { return Ok(()) };
    let object = Object::whole(FILE, &whole)?;
    let mut ways = Vec::new();
    for (key, number) in WAYS {
        if object.opt_flag(key)? == Some(true) {
            ways.push(number);
        }
    }
    let [Some(number)] = ways[..] else {
        return Err(DirectoryProblem::Unsupported { what: format!("the pooling of {FILE}") });
    };
    metadata.insert(format!("{}.pooling_type", family.architecture), number.into());
    Ok(())
}

/// Refuses what would change vectors and is not done.
fn check_steps(folder: &Path) -> Result<(), DirectoryProblem> {
    let steps = json::opt_value(folder, STEPS_FILE)?;
    for step in steps.as_ref().and_then(Value::as_array).into_iter().flatten() {
        let kind = step.get("type").and_then(Value::as_str).unwrap_or_default();
        let name = kind.rsplit('.').next().unwrap_or_default();
        if !STEPS.contains(&name) {
            let what = format!("the step {:?} of {STEPS_FILE}", kind.chars().take(80).collect::<String>());
            return Err(DirectoryProblem::Unsupported { what });
        }
    }
    Ok(())
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
        let several = r#"{"pooling_mode_mean_tokens":true,"pooling_mode_cls_token":true}"#;
        for other in [r#"{"pooling_mode_max_tokens":true}"#, several, "{}"] {
            assert!(read(other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_step_that_is_not_done_is_refused() {
        let read = |kind: &str| {
            let folder = tempfile::tempdir().expect("a folder");
            let steps = format!(r#"[{{"type":"sentence_transformers.models.Transformer"}},{{"type":"{kind}"}}]"#);
            std::fs::write(folder.path().join(STEPS_FILE), steps).expect("writes");
            set(folder.path(), family("bert").expect("known"), &mut BTreeMap::new())
        };
        assert!(read("sentence_transformers.models.Normalize").is_ok());
        let error = read("sentence_transformers.models.Dense").expect_err("a matrix more").to_string();
        assert!(error.contains("models.Dense"), "{error}");
    }
}
