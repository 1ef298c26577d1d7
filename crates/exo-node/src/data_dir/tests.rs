use super::*;

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a scratch directory")
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).expect("exists").permissions().mode() & 0o777
}

#[test]
fn a_missing_directory_is_made_for_this_user_alone() {
    let scratch = scratch();
    let path = scratch.path().join("deep/er");
    let data_dir = DataDir::open(&path, Role::Worker).expect("opens");
    assert_eq!(data_dir.path(), path);
    assert_eq!(mode_of(&path), 0o700);
}

#[test]
fn a_directory_that_others_can_read_is_closed_to_them() {
    let scratch = scratch();
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o755)).expect("ours");
    DataDir::open(scratch.path(), Role::Worker).expect("opens");
    assert_eq!(mode_of(scratch.path()), 0o700);
}

#[test]
fn every_process_of_a_node_has_the_same_name_and_keeps_it() {
    let scratch = scratch();
    let first = DataDir::open(scratch.path(), Role::Worker).expect("opens");
    let second = DataDir::open(scratch.path(), Role::Api).expect("opens beside it");
    assert_eq!(first.node_id(), second.node_id());
    let name = first.node_id().clone();
    drop((first, second));
    let again = DataDir::open(scratch.path(), Role::All).expect("opens again");
    assert_eq!(*again.node_id(), name);
}

#[test]
fn many_starts_at_once_agree_on_one_name() {
    let scratch = scratch();
    let path = scratch.path();
    let names: Vec<_> = std::thread::scope(|scope| {
        let starts = [Role::Master, Role::Worker, Role::Api]
            .map(|role| scope.spawn(move || DataDir::open(path, role).map(|data_dir| data_dir.node_id().clone())));
        starts.map(|start| start.join().expect("no panic").expect("opens")).to_vec()
    });
    assert!(names.windows(2).all(|pair| pair[0] == pair[1]), "{names:?}");
}

#[test]
fn a_second_start_is_refused_with_the_name_of_the_first() {
    let scratch = scratch();
    for (first, second, clash) in [
        (Role::Master, Role::Master, Some(Role::Master)),
        (Role::Worker, Role::All, Some(Role::Worker)),
        (Role::All, Role::Api, Some(Role::Api)),
        (Role::Master, Role::Worker, None),
    ] {
        let held = DataDir::open(scratch.path(), first).expect("opens");
        let outcome = DataDir::open(scratch.path(), second);
        match (outcome, clash) {
            (Ok(_), None) => {}
            (Err(DataDirError::AlreadyRunning { role, holder, .. }), Some(expect)) => {
                assert_eq!((role, holder), (expect, std::process::id().to_string()));
            }
            (outcome, _) => panic!("{first} then {second}: {outcome:?}"),
        }
        drop(held);
    }
}

#[test]
fn a_damaged_name_is_told_with_the_file_and_the_remedy() {
    let scratch = scratch();
    fs::write(scratch.path().join("node-id"), "two words\n").expect("writes");
    let error = DataDir::open(scratch.path(), Role::Worker).expect_err("no id");
    let text = error.to_string();
    assert!(text.contains("node-id") && text.contains("restore"), "{text}");
}

#[test]
fn a_file_in_its_place_is_told() {
    let scratch = scratch();
    let path = scratch.path().join("file");
    fs::write(&path, "").expect("writes");
    assert!(matches!(DataDir::open(&path, Role::Worker), Err(DataDirError::NotADirectory { .. })));
    let below = path.join("below");
    assert!(matches!(DataDir::open(&below, Role::Worker), Err(DataDirError::Create { .. })));
}

#[test]
fn nothing_half_written_stays() {
    let scratch = scratch();
    DataDir::open(scratch.path(), Role::Worker).expect("opens");
    let mut names: Vec<_> =
        fs::read_dir(scratch.path()).expect("lists").map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["node-id", "worker.lock"]);
}
