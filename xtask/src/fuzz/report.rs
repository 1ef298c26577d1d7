//! What libFuzzer says of a run, in a line.

use std::fmt;

/// Lines of libFuzzer's words that stand under a finding.
const SHOWN: usize = 24;

/// One target's run.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    target: &'static str,
    runs: u64,
    covered: u64,
    new_inputs: u64,
    /// What went wrong.
    pub finding: Option<Finding>,
}

/// An input that a target does not bear.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// The input; none where the program ended before it wrote one.
    file: Option<String>,
    /// The end of what was said.
    words: String,
}

impl Report {
    /// Reads what the program said.
    pub fn of(target: &'static str, success: bool, log: &str) -> Self {
        let number = |key: &str| log.lines().rev().find_map(|line| number_behind(line, key)).unwrap_or(0);
        let finding = (!success).then(|| Finding::of(log));
        Self {
            target,
            runs: number("stat::number_of_executed_units:").max(number("#")),
            covered: number("cov:"),
            new_inputs: number("stat::new_units_added:"),
            finding,
        }
    }
}

impl Finding {
    fn of(log: &str) -> Self {
        // The last: before it stand inputs that were only slow.
        let written = |line: &str| line.split_once("Test unit written to ").map(|(_, file)| file.to_owned());
        let file = log.lines().rev().find_map(written);
        // Its bytes in other spellings come last, and help nobody.
        let said: Vec<&str> = log.lines().filter(|line| !is_progress(line)).collect();
        let from = said.iter().position(|line| line.contains("panicked at") || line.starts_with("==")).unwrap_or(0);
        Self { file, words: said.iter().skip(from).take(SHOWN).map(|line| format!("\n    {line}")).collect() }
    }
}

/// Whether it is one of the many lines that tell how far the run is.
fn is_progress(line: &str) -> bool {
    line.starts_with('#') && !line.contains("panicked") && number_behind(line, "#").is_some()
}

/// The number that follows the first `key`.
fn number_behind(line: &str, key: &str) -> Option<u64> {
    let (_, rest) = line.split_once(key)?;
    let digits = rest.trim_start();
    digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())].parse().ok()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, runs, covered, new_inputs, finding } = self;
        write!(f, "{target:<18}{runs:>10} runs  {covered:>6} places reached  {new_inputs:>5} new inputs")?;
        match finding {
            None => Ok(()),
            Some(Finding { file: Some(file), words }) => {
                write!(f, "  FOUND {file}\n  again: cargo xtask fuzz {target} --replay {file}{words}")
            }
            Some(Finding { file: None, words }) => write!(f, "  ENDED{words}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "INFO: Seed: 1\n#2\tINITED cov: 44 ft: 45 corp: 1/1b exec/s: 0 rss: 28Mb\n\
        #748839\tDONE   cov: 310 ft: 1205 corp: 190/9Kb lim: 2611 exec/s: 124806 rss: 28Mb\n\
        Done 748839 runs in 6 second(s)\nstat::number_of_executed_units: 748839\nstat::new_units_added:          954\n";

    #[test]
    fn a_run_is_told_in_a_line() {
        let told = Report::of("gguf", true, GOOD).to_string();
        assert_eq!(told, "gguf                  748839 runs     310 places reached    954 new inputs");
    }

    #[test]
    fn a_finding_is_told_with_its_file_and_how_to_see_it_again() {
        let log = "#2\tINITED cov: 44 ft: 45\nartifact_prefix='/f/'; Test unit written to /f/slow-unit-1\n\
            #90\tNEW    cov: 51 ft: 60\n\nthread '<unnamed>' panicked at a.rs:1:2:\nboom\n\
            ==7== ERROR: libFuzzer: deadly signal\nartifact_prefix='/f/'; Test unit written to /f/crash-1\nBase64: AA==\n";
        let told = Report::of("gguf", false, log).to_string();
        for part in
            ["      90 runs", "51 places", "FOUND /f/crash-1", "cargo xtask fuzz gguf --replay /f/crash-1", "boom"]
        {
            assert!(told.contains(part), "{part:?} is missing in {told}");
        }
        assert!(!told.contains("INITED"), "{told}");
    }

    #[test]
    fn a_program_that_does_not_start_is_a_finding_too() {
        let told = Report::of("gguf", false, "cannot load a library\n").to_string();
        assert!(told.contains("ENDED\n    cannot load a library"), "{told}");
    }
}
