//! `exo completions`, `exo man`: what shells and `man` want to know of the command line.

use crate::error::CliError;
use crate::output::write;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use std::path::Path;

/// Prints the completions for a shell.
pub(crate) fn completions(mut command: Command, shell: Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "exo", &mut script);
    write(String::from_utf8_lossy(&script))
}

/// Writes a page for every command that is shown, in section 1, and for every service, in section 8.
pub(crate) fn pages(command: Command, folder: &Path) -> Result<(), CliError> {
    let failed = || CliError::system(format!("cannot write manual pages into {}", folder.display()));
    let (commands, services) = (folder.join("man1"), folder.join("man8"));
    std::fs::create_dir_all(&commands).map_err(failed())?;
    std::fs::create_dir_all(&services).map_err(failed())?;
    clap_mangen::generate_to(command, commands).map_err(failed())?;
    for service in [exo_master::Args::command(), exo_worker::Args::command(), exo_api::Args::command()] {
        let path = services.join(format!("{}.8", service.get_name()));
        let mut page = Vec::new();
        Man::new(service).section("8").render(&mut page).map_err(failed())?;
        std::fs::write(path, page).map_err(failed())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_service_has_a_page_that_shows_its_examples() {
        let folder = tempfile::tempdir().expect("a folder");
        pages(crate::Cli::command(), folder.path()).expect("the pages are written");
        for (page, part) in [
            ("man1/exo.1", "First steps"),
            ("man1/exo-apply.1", "prune"),
            ("man1/exo-log-backup.1", "backup"),
            ("man8/exo-master.8", "election.seniority"),
            ("man8/exo-worker.8", "models.dirs"),
            ("man8/exo-api.8", "api\\-port"),
        ] {
            let text = std::fs::read_to_string(folder.path().join(page)).expect(page);
            assert!(text.contains(part), "{part:?} is missing in {page}: {text}");
        }
    }
}
