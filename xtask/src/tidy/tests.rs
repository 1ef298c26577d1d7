//! Every rule, broken once.

use super::*;
use crate::workspace::testing::workspace;
use tempfile::TempDir;

const HEADER: &str = "//! Pure. Decides.\n//! Knows nothing of disks.\n";

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
        fs::write(path, text).expect("the file is written");
    }
    folder
}

/// Each expected text is a part of one finding, in order; there are no others.
fn assert_found(found: &[String], expect: &[&str]) {
    let fits = found.len() == expect.len() && found.iter().zip(expect).all(|(found, part)| found.contains(part));
    assert!(fits, "expected {expect:?}, found {found:?}");
}

fn layers(crates: &[(&str, Layer, &[&str])]) -> Vec<String> {
    let (workspace, mut found) = (workspace(Path::new("/nowhere"), crates), Vec::new());
    workspace.members.values().for_each(|member| check_layers(&workspace, member, &mut found));
    found
}

#[test]
fn no_crate_depends_on_a_layer_above_its_own() {
    let good = [("a", Layer::Pure, &["serde"][..]), ("b", Layer::Io, &["a", "tokio"]), ("c", Layer::Service, &["b"])];
    assert_found(&layers(&good), &[]);
    let bad = [("a", Layer::Pure, &["b"][..]), ("b", Layer::Io, &["c"]), ("c", Layer::Service, &[])];
    assert_found(&layers(&bad), &["a (pure) must not depend on b (io)", "b (io) must not depend on c (service)"]);
    let services = [("exo", Layer::Service, &["s"][..]), ("s", Layer::Service, &[]), ("t", Layer::Service, &["s"])];
    assert_found(&layers(&services), &["t (service) must not depend on s (service)"]);
}

#[test]
fn a_pure_crate_uses_nothing_that_acts() {
    for name in ["tokio", "rand", "uuid", "ring", "getrandom", "fastrand", "rustls", "socket2", "unheard-of"] {
        assert_found(&layers(&[("a", Layer::Pure, &[name])]), &[&format!("must not depend on {name}")]);
        assert_found(&layers(&[("a", Layer::Io, &[name])]), &[]);
    }
}

#[test]
fn a_library_is_named_by_its_wrapper_alone() {
    let workspace = workspace(Path::new("/"), &[("exo-log", Layer::Io, &["redb"]), ("thief", Layer::Io, &["redb"])]);
    let mut found = Vec::new();
    workspace.members.values().for_each(|member| check_wrapped(member, &mut found));
    assert_found(&found, &["thief names redb, which belongs to exo-log"]);
}

#[test]
fn a_header_states_the_layer_and_what_the_crate_does_not_know() {
    for (header, is_good) in [
        (HEADER, true),
        ("//! Io. Decides. Knows nothing of disks.\n", false),
        ("//! Pure. Decides.\n", false),
        ("//! Decides. Pure. Knows nothing of disks.\n", false),
        ("use std::fmt;\n", false),
    ] {
        let folder = folder(&[("a/src/lib.rs", header)]);
        let workspace = workspace(folder.path(), &[("a", Layer::Pure, &[])]);
        let mut found = Vec::new();
        check_header(&workspace.members["a"], &mut found).expect("it reads");
        assert_eq!(found.is_empty(), is_good, "{header:?}: {found:?}");
    }
}

#[test]
fn pure_crates_have_the_same_bans() {
    let pure = [("a", Layer::Pure, &[][..]), ("b", Layer::Pure, &[]), ("io", Layer::Io, &[])];
    let found = |files: &[(&str, &str)]| {
        let (folder, mut found) = (folder(files), Vec::new());
        check_pure_lints(&workspace(folder.path(), &pure), &mut found);
        found
    };
    assert_found(&found(&[("a/clippy.toml", "x"), ("b/clippy.toml", "x")]), &[]);
    assert_found(&found(&[("a/clippy.toml", "x")]), &["b is pure and has no clippy.toml"]);
    assert_found(&found(&[("a/clippy.toml", "x"), ("b/clippy.toml", "")]), &["b: its clippy.toml is not that of a"]);
}

/// What a pure crate may do nothing of; by way of example, since the file says the rest.
#[test]
fn the_bans_of_pure_crates_have_every_kind() {
    let text = include_str!("../../../crates/exo-types/clippy.toml");
    for path in [
        "time::Instant::now",
        "time::SystemTime::now",
        "env::var",
        "env::args",
        "fs::read_dir",
        "fs::OpenOptions",
        "path::Path::exists",
        "net::TcpStream",
        "net::UdpSocket",
        "net::ToSocketAddrs::to_socket_addrs",
        "thread::spawn",
        "thread::Builder",
        "process::Command",
        "hash::RandomState::new",
    ] {
        assert!(text.contains(&format!("{{ path = \"std::{path}\", ")), "{path}");
    }
}

#[test]
fn files_are_short_and_named_well_and_ignore_no_test() {
    let long = "\n".repeat(LONGEST_FILE + 1);
    let folder = folder(&[
        ("good.rs", "fn good() {}\n"),
        ("ignored.rs", "    #[ignore = \"slow\"]\nfn test() {}\n"),
        ("long.rs", &long),
        ("other.txt", &long),
        ("part/mod.rs", "fn part() {}\n"),
        ("unknown.rs", &long),
    ]);
    let git = |arguments: &[&str]| {
        let status = Command::new("git").args(arguments).current_dir(folder.path()).status();
        assert!(status.is_ok_and(|status| status.success()), "git {arguments:?}");
    };
    git(&["init", "--quiet"]);
    git(&["add", "good.rs", "ignored.rs", "long.rs", "other.txt", "part"]);
    let mut found = Vec::new();
    check_files(folder.path(), &mut found).expect("they are read");
    assert_found(
        &found,
        &["ignored.rs: an ignored test", "long.rs: 601 lines, at most 600", "part/mod.rs: use part.rs"],
    );
}

#[test]
fn every_library_has_its_line_and_every_line_its_library() {
    let folder = folder(&[("docs/dependencies.md", "| `serde` | to write |\n| `gone` | for nothing |\n")]);
    let crates: [(&str, Layer, &[&str]); 2] = [("a", Layer::Pure, &["serde", "new"]), ("b", Layer::Io, &["a"])];
    let mut found = Vec::new();
    check_dependency_list(&workspace(folder.path(), &crates), &mut found).expect("it reads");
    assert_found(&found, &["no line for new, which a uses", "gone is listed, nothing uses it"]);
}

#[test]
fn every_promise_names_a_test_that_is_there() {
    let promises = "| Promise | Shown by |\n|---|---|\n\
        | kept | `t.rs::it_holds` |\n| file | `t.rs` |\n| empty | trust me |\n| gone | `t.rs::it_held` |\n\
        | nowhere | `u.rs` |\n\n| other | `v.rs` |\n";
    let failures = "| EXO's issue | Test |\n|---|---|\n| 1 | `t.rs::it_holds`, `t.rs::missing` |\n";
    let test = "fn it_holds() {}";
    let folder = folder(&[("README.md", promises), ("docs/failures.md", failures), ("t.rs", test)]);
    let mut found = Vec::new();
    check_promises(folder.path(), &mut found).expect("they are read");
    assert_found(
        &found,
        &["no test is named for \"| empty", "t.rs::it_held does not exist", "u.rs does not exist", "t.rs::missing"],
    );
}
