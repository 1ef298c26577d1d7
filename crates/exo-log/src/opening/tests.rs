//! Whose log it is, which version wrote it, and whether it may be put away.

use super::*;
use crate::Member;
use crate::disk::FaultyDisk;
use crate::offline;

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn session() -> SessionId {
    SessionId { generation: 3, master_node_id: node("a") }
}

fn in_cluster(cluster: Option<&str>) -> LogOptions {
    LogOptions { cluster: cluster.map(str::to_owned), ..LogOptions::new(node("a"), 7) }
}

fn open_on(disk: &FaultyDisk, options: &LogOptions) -> Result<Opened, OpenError> {
    open(Arc::new(disk.clone()), options)
}

/// A log with a session in it, written by node a of that cluster, closed.
fn written(cluster: Option<&str>) -> FaultyDisk {
    let disk = FaultyDisk::new(1);
    let mut opened = open_on(&disk, &in_cluster(cluster)).expect("opens");
    let own = Member { node_id: node("a"), raft_id: opened.identity.raft_id };
    offline::begin(&mut opened.store, &session(), &own, &machine::Content::default()).expect("begins");
    opened.store.close();
    disk
}

/// The same, and these are its voters as far as anybody knows.
fn written_among(voters: &[&str]) -> FaultyDisk {
    let disk = written(None);
    let voters = voters.iter().zip(50..).map(|(name, id)| Member { node_id: node(name), raft_id: RaftId(id) });
    let members = Members { voters: voters.collect(), learners: Default::default() };
    MembersFile { session: Some(session()), members }.write(&disk).expect("writes");
    disk
}

fn bytes_of(disk: &FaultyDisk) -> Vec<u8> {
    let file = disk.open().expect("opens");
    let mut bytes = vec![0; usize::try_from(file.len().expect("is there")).expect("small")];
    file.read(0, &mut bytes).expect("reads");
    bytes
}

#[test]
fn a_log_of_another_cluster_is_refused_and_left_as_it_is() {
    let (ours, theirs) = ("aa".repeat(32), "bb".repeat(32));
    let disk = written(Some(&theirs));
    for _ in 0..2 {
        let error = open_on(&disk, &in_cluster(Some(&ours))).expect_err("another cluster's");
        let owner = LogOwner::Cluster { theirs: theirs.clone(), ours: ours.clone() };
        assert_eq!(error, OpenError::Foreign { path: "memory".to_owned(), owner });
    }
    assert_eq!(disk.quarantined(), 0);
    let opened = open_on(&disk, &in_cluster(Some(&theirs))).expect("its own");
    assert_eq!(opened.recovered.session, Some(session()));
    drop(opened);
    open_on(&disk, &in_cluster(None)).expect("who does not ask gets it");
}

#[test]
fn a_log_that_names_no_cluster_is_adopted_once() {
    let disk = written(None);
    let before = open_on(&disk, &in_cluster(None)).expect("opens").recovered;
    let adopted = open_on(&disk, &in_cluster(Some("aa"))).expect("is adopted").recovered;
    assert_eq!((&adopted.session, adopted.raft_id), (&before.session, before.raft_id));
    let error = open_on(&disk, &in_cluster(Some("bb"))).expect_err("it belongs to aa now");
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    open_on(&disk, &in_cluster(Some("aa"))).expect("its own");
}

#[test]
fn a_log_with_a_record_of_a_newer_version_is_left_as_it_is() {
    let disk = written_among(&["a", "b", "c"]);
    let mut store = open_on(&disk, &in_cluster(None)).expect("opens").store;
    store.save_of_next_version().expect("writes");
    store.close();
    drop(store);
    let error = open_on(&disk, &in_cluster(None)).expect_err("newer");
    let OpenError::Newer { reason, .. } = &error else { panic!("{error}") };
    assert_eq!(reason, "the record session has format version 2, this exo reads up to 1");
    assert_eq!(disk.quarantined(), 0);
}

#[test]
fn a_log_in_a_file_of_a_newer_format_is_left_as_it_is() {
    let disk = written_among(&["a", "b", "c"]);
    // Both commit slots: a 3 becomes a 4.
    for byte in [64, 192] {
        (0..3).for_each(|bit| disk.flip_bit_at(byte, bit));
    }
    let before = bytes_of(&disk);
    let error = open_on(&disk, &in_cluster(None)).expect_err("newer");
    let OpenError::Newer { reason, .. } = &error else { panic!("{error}") };
    assert_eq!(reason, "its file has format version 4");
    assert_eq!((disk.quarantined(), bytes_of(&disk) == before), (0, true));
}

#[test]
fn a_damaged_log_is_put_away_if_another_node_votes() {
    for (voters, is_put_away) in [
        // This node is a learner of a session with one voter.
        (&["b"][..], true),
        (&["a", "b"][..], true),
        (&["b", "c", "d"][..], true),
        (&["a"][..], false),
        (&[][..], false),
    ] {
        let disk = written_among(voters);
        disk.flip_bit_at(2, 5);
        let opened = open_on(&disk, &in_cluster(None));
        match opened {
            Ok(opened) => {
                assert!(is_put_away && opened.recovered.quarantined.is_some(), "{voters:?}");
                let lost = opened.recovered.lost.expect("others have it");
                assert_eq!((lost.session, lost.members.voters.len()), (session(), voters.len()));
            }
            Err(error) => assert!(!is_put_away && matches!(error, OpenError::Damaged { .. }), "{voters:?}: {error}"),
        }
        assert_eq!(disk.quarantined(), usize::from(is_put_away), "{voters:?}");
    }
}
