//! "Did you mean …?"

use crate::KEYS;

/// The known candidate nearest to `text`, if it is near: at most a third of its letters differ.
pub(crate) fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (text.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (distance(&text.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// What to tell somebody who wrote the unknown key `path`: the nearest key, or another section's key of that name.
pub(crate) fn hint(path: &str) -> String {
    let last = path.rsplit('.').next().unwrap_or(path);
    let same_name = KEYS.iter().map(|key| key.path).find(|known| known.rsplit('.').next() == Some(last));
    let section = nearest(path, KEYS.iter().filter_map(|key| key.section()));
    match (nearest(path, KEYS.iter().map(|key| key.path)).or(same_name), section) {
        (Some(known), _) => format!("did you mean `{known}`?"),
        (None, Some(section)) => format!("did you mean `[{section}]`?"),
        (None, None) => "all keys stand in docs/configuration.md, and `--print-config` shows them".to_owned(),
    }
}

/// Levenshtein's distance: insertions, deletions and replacements that make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_finds_its_neighbour_and_nonsense_finds_none() {
        for (text, expect) in [
            ("api.prot", "did you mean `api.port`?"),
            ("networking.discovery_port", "did you mean `networking.discoveryPort`?"),
            ("discoveryPort", "did you mean `networking.discoveryPort`?"),
            ("netwroking", "did you mean `[networking]`?"),
            ("apiport", "did you mean `api.port`?"),
            ("colour", "all keys stand in docs/configuration.md, and `--print-config` shows them"),
        ] {
            assert_eq!(hint(text), expect, "{text}");
        }
    }
}
