//! `exo hardware`: what this machine has.

mod page;

use crate::error::CliError;
use crate::output::{say, write};
use clap::Args;
use exo_hardware::{Hardware, Questions};
use exo_service::{CommonArgs, read_configuration};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two looks while a driver is waited for.
const GLANCE: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct HardwareArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// As JSON, with everything that the table leaves out
    #[arg(long)]
    json: bool,
    /// Measure too: how fast memory is read (all cores, a fifth of a second), power, and a kernel on each NVIDIA card
    #[arg(long)]
    measure: bool,
    /// Wait until every card has its driver, at most so many seconds; drivers may come late when the machine starts
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3600))]
    wait: Option<u64>,
    /// Fail unless there is a card for it that can be used
    #[arg(long, value_name = "RUNTIME", value_parser = ["cuda", "rocm", "mlx", "any"])]
    require: Option<String>,
    /// Write the JSON into a file instead, whole or not at all
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Looks, and tells.
pub(crate) fn run(args: &HardwareArgs) -> Result<(), CliError> {
    let config = read_configuration(&args.common)?.loaded.config;
    let mut directories = vec![config.data_dir.clone()];
    directories.extend(config.models.dirs);
    let questions = Questions { directories, measure: args.measure };
    let hardware = look(&questions, Duration::from_secs(args.wait.unwrap_or(0)));
    match &args.write {
        Some(path) => replace(path, &format!("{:#}\n", document(&hardware)))?,
        None if args.json => say(format_args!("{:#}", document(&hardware)))?,
        None => write(page::page(&hardware))?,
    }
    required(&hardware, args.require.as_deref())
}

/// Again and again until every card is ready or the time is over; says what it waits for, once for each new reason.
fn look(questions: &Questions, patience: Duration) -> Hardware {
    let deadline = Instant::now() + patience;
    let mut told = String::new();
    loop {
        let hardware = Hardware::of_host(questions);
        let missing = not_ready(&hardware);
        if missing.is_empty() || patience.is_zero() {
            return hardware;
        }
        if Instant::now() + GLANCE > deadline {
            eprintln!("not ready after {} s, exo does without: {missing}", patience.as_secs());
            return hardware;
        }
        if missing != told {
            eprintln!("waiting at most {} s for {missing}", patience.as_secs());
            told = missing;
        }
        sleep(GLANCE);
    }
}

/// The cards that cannot be used, and why.
fn not_ready(hardware: &Hardware) -> String {
    let cards = hardware.gpus.iter().filter(|gpu| !gpu.availability.is_ready());
    cards.map(|gpu| format!("{}: {}", gpu.name, gpu.availability)).collect::<Vec<_>>().join("; ")
}

/// The report, and what follows from it for a runner: what it can compute on, the best first, and the files for that.
fn document(hardware: &Hardware) -> Value {
    let mut document = json!(hardware);
    document["accelerators"] = json!(hardware.accelerators());
    document["deviceNodes"] = json!(hardware.device_nodes());
    document
}

fn required(hardware: &Hardware, runtime: Option<&str>) -> Result<(), CliError> {
    let found = hardware.accelerators();
    let is_there = match runtime {
        None => true,
        Some("any") => found.iter().any(|runtime| *runtime != "cpu"),
        Some(wanted) => found.contains(&wanted),
    };
    if is_there {
        return Ok(());
    }
    let told = hardware.gpus.iter().map(|gpu| format!("{}: {}", gpu.name, gpu.availability));
    let cards: Vec<String> = told.collect();
    let cards = if cards.is_empty() { "this machine has no card".to_owned() } else { cards.join("; ") };
    Err(CliError::NoAccelerator { wanted: runtime.unwrap_or_default().to_owned(), cards })
}

fn replace(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = || CliError::system(format!("cannot write {}", path.display()));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed())?;
    file.write_all(text.as_bytes()).map_err(failed())?;
    // Readable by all, as what it is made of: the services of another user read it.
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(permissions).map_err(failed())?;
    file.persist(path).map(|_file| ()).map_err(|error| failed()(error.error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_readable_by_others() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("hardware.json");
        for text in ["one", "two"] {
            replace(&path, text).expect("it is written");
            assert_eq!(std::fs::read_to_string(&path).expect("it is there"), text);
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().expect("it is there").permissions());
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 1);
        assert!(replace(Path::new("/no/such/folder/x"), "").is_err());
    }

    #[test]
    fn a_card_that_is_required_and_not_there_is_an_error_with_the_reason() {
        let nothing = Hardware::read(&exo_hardware::Sysfs::at("/no/such/tree"), &[], &Questions::default());
        assert!(required(&nothing, None).is_ok());
        for wanted in ["any", "cuda"] {
            let error = required(&nothing, Some(wanted)).expect_err("there is none").to_string();
            assert!(error.contains(wanted) && error.contains("no card"), "{error}");
        }
        assert_eq!(document(&nothing)["accelerators"], json!(["cpu"]));
    }
}
