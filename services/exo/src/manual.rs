//! `exo completions`, `exo man`: what shells and `man` want to know of the command line.

use crate::error::CliError;
use crate::output::write;
use clap::Command;
use clap_complete::Shell;
use std::path::Path;

/// Prints the completions for a shell.
pub(crate) fn completions(mut command: Command, shell: Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "exo", &mut script);
    write(String::from_utf8_lossy(&script))
}

/// Writes a page for every command that is shown.
pub(crate) fn pages(command: Command, folder: &Path) -> Result<(), CliError> {
    let failed = || CliError::system(format!("cannot write manual pages into {}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed())?;
    clap_mangen::generate_to(command, folder).map_err(failed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_has_a_page_that_shows_its_examples() {
        let folder = tempfile::tempdir().expect("a folder");
        pages(crate::Cli::command(), folder.path()).expect("the pages are written");
        for (page, part) in [("exo.1", "First steps"), ("exo-apply.1", "prune"), ("exo-log-backup.1", "backup")] {
            let text = std::fs::read_to_string(folder.path().join(page)).expect(page);
            assert!(text.contains(part), "{part:?} is missing in {page}: {text}");
        }
    }
}
