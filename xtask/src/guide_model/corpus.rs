//! The questions and answers that exo-guide is trained on, as `tools/guide-model/corpus/*.txt` has them.

use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// One question with the one right answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub text: String,
    /// What must be answered.
    pub answer: String,
    /// Whether training never sees it: it shows whether the model understands other words for the same thing.
    pub held_back: bool,
}

/// Reads every file of the folder, in the order of their names.
pub fn read(folder: &Path) -> Result<Vec<Question>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let mut paths: Vec<PathBuf> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "txt")).collect();
    paths.sort();
    let mut questions = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        questions.extend(parse(&text).with_context(|| path.display().to_string())?);
    }
    ensure!(!questions.is_empty(), "{} has no questions", folder.display());
    Ok(questions)
}

fn parse(text: &str) -> Result<Vec<Question>> {
    let mut questions = Vec::new();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.starts_with('#')).collect();
    for block in lines.split(|line| line.is_empty()).filter(|block| !block.is_empty()) {
        questions.extend(entry(block).with_context(|| block.join(" / "))?);
    }
    Ok(questions)
}

fn entry(block: &[&str]) -> Result<Vec<Question>> {
    let mut asked = Vec::new();
    let mut answer = None;
    for line in block {
        match line.split_once(':').map(|(kind, text)| (kind, text.trim())) {
            Some(("Q", text)) => asked.push((text, false)),
            Some(("H", text)) => asked.push((text, true)),
            Some(("A", text)) if answer.is_none() => answer = Some(text),
            _ => bail!("{line:?} is not one of Q:, H: and a single A:"),
        }
    }
    let answer = answer.context("no A: line")?;
    let question =
        |(text, held_back): (&str, bool)| Question { text: text.to_owned(), answer: answer.to_owned(), held_back };
    Ok(asked.into_iter().map(question).collect())
}

/// `count` of the questions, the same ones for the same seed, half of them held back ones where there are enough.
pub fn sample(questions: Vec<Question>, count: usize, seed: u64) -> Vec<Question> {
    let (held_back, trained): (Vec<_>, Vec<_>) = questions.into_iter().partition(|question| question.held_back);
    let mut chosen = choose(trained, count.div_ceil(2), seed);
    chosen.extend(choose(held_back, count / 2, seed));
    chosen
}

/// The first `count` of a shuffle (Fisher–Yates) driven by SplitMix64.
fn choose(mut questions: Vec<Question>, count: usize, seed: u64) -> Vec<Question> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    };
    for index in 0..count.min(questions.len()) {
        let left = (questions.len() - index) as u64;
        questions.swap(index, index + (next() % left) as usize);
    }
    questions.truncate(count);
    questions
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const BLOCK: &str =
        "# ports\nQ: Which port?\nQ: port of the api\nH: What port is it?\nA: 52415.\n\n\nQ: Who?\nA: Me.\n";

    #[test]
    fn blocks_become_questions_with_their_answer() {
        let questions = parse(BLOCK).expect("a well-formed corpus");
        let told: Vec<_> = questions.iter().map(|q| (q.text.as_str(), q.answer.as_str(), q.held_back)).collect();
        let expect = [
            ("Which port?", "52415.", false),
            ("port of the api", "52415.", false),
            ("What port is it?", "52415.", true),
            ("Who?", "Me.", false),
        ];
        assert_eq!(told, expect);
    }

    #[test]
    fn what_the_guide_learns_is_what_is_promised_of_it() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let questions = read(&root.join("tools/guide-model/corpus")).expect("the corpus of the project");
        let mut entries: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for question in &questions {
            let (trained, held_back) = entries.entry(&question.answer).or_default();
            *if question.held_back { held_back } else { trained } += 1;
        }
        assert!(entries.len() >= 600, "{} entries", entries.len());
        for (answer, (trained, held_back)) in entries {
            assert!(trained >= 4 && held_back == 1, "{answer}: {trained} phrasings, {held_back} held back");
        }
        let size = fs::metadata(root.join("models/exo-guide.gguf")).expect("the model of the project").len();
        assert!(size <= 8 << 20, "exo-guide has {size} bytes");
    }

    #[test]
    fn a_malformed_block_is_named() {
        let check = |text: &str, expect: &str| {
            let error = format!("{:#}", parse(text).expect_err("a malformed corpus"));
            assert!(error.contains(expect), "{error}");
        };
        check("Q: Which port?\n", "no A:");
        check("Q: Which port?\nA: 1\nA: 2\n", "\"A: 2\"");
        check("Q: Which port?\nB: 1\n", "\"B: 1\"");
    }

    #[test]
    fn a_sample_is_the_same_for_the_same_seed_and_has_both_kinds() {
        let questions = |count: usize| {
            let question = |index: usize| Question {
                text: index.to_string(),
                answer: String::new(),
                held_back: index.is_multiple_of(5),
            };
            (0..count).map(question).collect::<Vec<_>>()
        };
        assert_eq!(sample(questions(100), 10, 1), sample(questions(100), 10, 1));
        assert_ne!(sample(questions(100), 10, 1), sample(questions(100), 10, 2));
        assert_eq!(sample(questions(100), 10, 1).iter().filter(|question| question.held_back).count(), 5);
    }
}
