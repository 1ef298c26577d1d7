//! The first minute.

use crate::node::{Process, free_port, is_alive, models, processes_that_know, programs};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The demo, two nodes, and a runner on each.
const FAMILY: usize = 5;

/// A demo with a folder of its own for what is temporary.
struct Demo {
    process: Process,
    temporary: PathBuf,
    /// Last: it has the log that is shown when a test fails.
    _folder: TempDir,
}

impl Demo {
    fn start(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let temporary = folder.path().join("tmp");
        std::fs::create_dir(&temporary).expect("a folder");
        let mut command = Command::new(programs().join("exo"));
        command.args(["demo", "--api-port", &free_port().to_string(), "--models"]).arg(models()).args(more);
        command.env("TMPDIR", &temporary);
        Self { process: Process::start(command, folder.path().join("log")), temporary, _folder: folder }
    }

    /// Itself, and all that it started.
    fn family(&self) -> BTreeSet<u32> {
        self.process.descendants().into_iter().chain([self.process.id()]).collect()
    }

    fn serving(more: &[&str]) -> (Self, BTreeSet<u32>) {
        let mut demo = Self::start(more);
        demo.process.wait_for("Serving until Ctrl-C");
        let family = demo.family();
        assert_eq!(family.len(), FAMILY, "{family:?}");
        assert_eq!(processes_that_know(&demo.temporary), family);
        (demo, family)
    }
}

fn living(family: &BTreeSet<u32>) -> BTreeSet<u32> {
    family.iter().copied().filter(|process| is_alive(*process)).collect()
}

/// No process, and no file.
fn nothing_is_left(family: &BTreeSet<u32>, temporary: &Path) {
    assert_eq!(living(family), BTreeSet::new(), "still running");
    assert_eq!(processes_that_know(temporary), BTreeSet::new(), "still running");
    let files: BTreeSet<PathBuf> = temporary.read_dir().expect("it is there").flatten().map(|e| e.path()).collect();
    assert_eq!(files, BTreeSet::new(), "still there");
}

#[test]
fn the_demo_answers_both_questions_and_leaves_no_process() {
    let mut demo = Demo::start(&["--once"]);
    let (mut family, mut ended) = (BTreeSet::new(), None);
    while ended.is_none() {
        family.extend(demo.family());
        ended = demo.process.wait_a_moment();
    }
    let text = demo.process.log();
    assert!(ended.is_some_and(|status| status.success()), "{text}");
    assert_eq!(text.matches("tokens/s").count(), 2, "{text}");
    assert!(family.len() >= FAMILY, "{family:?}");
    nothing_is_left(&family, &demo.temporary);
}

#[test]
fn ctrl_c_ends_the_demo_well_and_leaves_nothing_behind() {
    for signal in ["INT", "TERM"] {
        let (mut demo, family) = Demo::serving(&[]);
        demo.process.signal(signal);
        let status = demo.process.wait();
        assert!(status.success(), "{signal}: {status}\n{}", demo.process.log());
        nothing_is_left(&family, &demo.temporary);
    }
}

#[test]
fn a_demo_that_is_killed_takes_all_its_processes_with_it() {
    let (mut demo, family) = Demo::serving(&[]);
    demo.process.kill();
    crate::node::wait_until(|| living(&family).is_empty(), || format!("{:?} outlived the demo", living(&family)));
    assert_eq!(processes_that_know(&demo.temporary), BTreeSet::new());
}
