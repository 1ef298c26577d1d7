use super::*;
use crate::envelope::{Draft, Header, Kind};
use exo_identity::Members;
use proptest::prelude::*;
use std::time::SystemTime;

const A: ProcessId = ProcessId(1);
const B: ProcessId = ProcessId(2);
const C: ProcessId = ProcessId(3);
const PLACE: Place<'_> = Place::on("topic/news", &Reader::Everybody);
const INBOX_OF_A: Place<'_> = Place::on("inbox/1", &Reader::Process(A));

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn message(process: ProcessId, from: &str) -> Bytes {
    let header = Header { kind: Kind::Message, process, stream: 0, sequence: 1, from: node(from) };
    Draft::new("news", &header, &"hello").expect("short").into()
}

fn not_by(name: &str) -> Result<(ProcessId, Bytes), SealError> {
    Err(SealError::NotSealed { claimed: node(name) })
}

/// Three nodes of a cluster, of which nobody is linked yet.
fn strangers() -> [Seals; 3] {
    let first = Identity::found(node("a"), "lab", SystemTime::now()).expect("founds");
    let [second, third] = ["b", "c"].map(|name| admitted(&first, name));
    [Seals::new(first, A), Seals::new(second, B), Seals::new(third, C)]
}

fn admitted(first: &Identity, name: &str) -> Identity {
    let parts = first.vouch(node(name), SystemTime::now()).expect("vouches");
    Identity::from_parts(&parts).expect("good")
}

/// The first learns who the second is.
fn meet(one: &Seals, other: &Seals) {
    one.on_linked(other.own, &other.identity.facts());
}

/// Three that are all linked.
fn trio() -> [Seals; 3] {
    let all = strangers();
    for one in &all {
        all.iter().filter(|other| other.own != one.own).for_each(|other| meet(one, other));
    }
    all
}

fn is_coded(sealed: &Bytes) -> bool {
    sealed.last() == Some(&CODED)
}

#[test]
fn a_node_speaks_for_itself_alone_and_at_that_place_alone() {
    let [a, b, _] = trio();
    for (place, coded) in [(PLACE, false), (INBOX_OF_A, true)] {
        let honest = b.seal(place, &message(B, "b"));
        assert_eq!(is_coded(&honest), coded);
        assert_eq!(a.open(place, &honest), Ok((B, message(B, "b"))));
        assert_eq!(a.open(Place { key: "topic/other", ..place }, &honest), not_by("b"));
        assert_eq!(a.open(Place { question: b"another", ..place }, &honest), not_by("b"));
        assert_eq!(a.open(place, &b.seal(place, &message(A, "a"))), not_by("a"));
        let of_others = b.seal(place, &message(A, "b"));
        assert_eq!(a.open(place, &of_others), Err(SealError::OtherNode { process: A, claimed: node("b") }));
        for at in 0..honest.len() {
            let mut spoiled = honest.to_vec();
            spoiled[at] ^= 1;
            assert!(a.open(place, &spoiled.into()).is_err(), "byte {at}");
        }
    }
}

#[test]
fn what_one_node_reads_no_other_takes_nor_the_one_that_wrote_it() {
    let [a, b, c] = trio();
    for reader in [Reader::Node(node("a")), Reader::Process(A)] {
        let place = Place::on("service/double/a", &reader);
        let question = b.seal(place, &message(B, "b"));
        assert!(is_coded(&question) && a.open(place, &question).is_ok());
        assert_eq!(c.open(place, &question), not_by("b"));
        assert_eq!(b.open(place, &question), not_by("b"));
        // Neither does who shares a key with the reader speak for others who do.
        assert_eq!(a.open(place, &c.seal(place, &message(B, "b"))), not_by("b"));
    }
}

#[test]
fn what_everybody_reads_is_signed() {
    let [a, b, _] = trio();
    let coded = b.seal(Place { reader: &Reader::Process(A), ..PLACE }, &message(B, "b"));
    assert!(is_coded(&coded));
    assert_eq!(a.open(PLACE, &coded), not_by("b"));
}

#[test]
fn whom_no_link_has_shown_a_node_writes_to_with_a_signature() {
    let [a, b, _] = strangers();
    meet(&a, &b);
    for reader in [Reader::Node(node("a")), Reader::Process(A)] {
        let place = Place::on("service/double/a", &reader);
        let question = b.seal(place, &message(B, "b"));
        assert!(!is_coded(&question));
        assert_eq!(a.open(place, &question), Ok((B, message(B, "b"))));
    }
}

#[test]
fn an_answer_is_one_to_its_question_alone() {
    let [a, b, c] = trio();
    for asker in [Reader::Everybody, a.own()] {
        let place = |question| Place::answer("service/double/b", question, &asker);
        let answer = b.seal(place(b"2 * 2"), &message(B, "b"));
        assert_eq!(is_coded(&answer), asker == a.own());
        assert!(a.open(place(b"2 * 2"), &answer).is_ok());
        assert!(a.open(place(b"3 * 3"), &answer).is_err());
        assert_eq!(c.open(place(b"2 * 2"), &answer).is_err(), is_coded(&answer));
    }
}

/// Has the first of them know that this key was thrown out.
fn throw_out(seals: &Seals, outcast: &Seals, name: &str) {
    let mut members = Members::default();
    members.revoked.insert(outcast.identity.key_fingerprint(), node(name));
    seals.identity.set_members(members);
    seals.on_members();
}

#[test]
fn a_key_that_was_thrown_out_seals_nothing_any_more() {
    let [a, b, _] = trio();
    let honest = [PLACE, INBOX_OF_A].map(|place| (place, b.seal(place, &message(B, "b"))));
    throw_out(&a, &b, "b");
    for (place, honest) in honest {
        assert_eq!(a.open(place, &honest), not_by("b"));
    }
    assert!(!is_coded(&a.seal(Place::on("inbox/2", &Reader::Process(B)), &message(A, "a"))));
}

#[test]
fn a_node_that_was_let_in_anew_is_written_to_with_its_new_key_and_its_last_words_count() {
    let [a, b, _] = trio();
    let last_words = b.seal(INBOX_OF_A, &message(B, "b"));
    let anew = Seals::new(admitted(&a.identity, "b"), B);
    meet(&a, &anew);
    meet(&anew, &a);
    assert!(a.open(INBOX_OF_A, &last_words).is_ok());
    assert!(a.open(INBOX_OF_A, &anew.seal(INBOX_OF_A, &message(B, "b"))).is_ok());
    let place = Place::on("inbox/2", &Reader::Process(B));
    let answer = a.seal(place, &message(A, "a"));
    assert!(is_coded(&answer) && anew.open(place, &answer).is_ok() && b.open(place, &answer).is_err());
}

#[test]
fn a_process_hears_itself_though_its_node_was_thrown_out() {
    let [a, b, _] = trio();
    throw_out(&a, &a, "a");
    for place in [PLACE, INBOX_OF_A] {
        assert_eq!(a.open(place, &a.seal(place, &message(A, "a"))), Ok((A, message(A, "a"))));
        assert!(a.open(place, &b.seal(place, &message(B, "b"))).is_ok());
    }
}

#[test]
fn processes_of_one_node_write_to_each_other() {
    let [a, ..] = strangers();
    let other = Seals::new(a.identity.clone(), B);
    meet(&a, &other);
    meet(&other, &a);
    let sealed = other.seal(INBOX_OF_A, &message(B, "a"));
    assert!(is_coded(&sealed));
    assert_eq!(a.open(INBOX_OF_A, &sealed), Ok((B, message(B, "a"))));
}

#[test]
fn seals_that_are_cut_or_of_another_kind_are_told_apart() {
    let [a, b, _] = trio();
    let sealed = b.seal(PLACE, &message(B, "b"));
    let unmarked = sealed.slice(..sealed.len() - 1);
    let kind = *unmarked.last().expect("not empty");
    assert_eq!(a.open(PLACE, &unmarked), Err(SealError::Kind { kind }));
    assert_eq!(SealError::Kind { kind }.word(), OTHER_VERSION);
    for (kind, enough) in [(SIGNED, SIGNATURE + 1), (CODED, CODE + 1)] {
        let length = enough - 1;
        assert_eq!(a.open(PLACE, &vec![kind; length].into()), Err(SealError::Short { length }));
    }
    assert_eq!(a.open(PLACE, &Bytes::new()), Err(SealError::Short { length: 0 }));
}

#[test]
fn no_bytes_panic_and_none_are_taken() {
    let [a, ..] = trio();
    let good = message(B, "b");
    proptest!(|(cut in 0..=good.len(), behind in proptest::collection::vec(any::<u8>(), 0..200), coded: bool)| {
        let mut bytes = [&good[..cut], &behind].concat();
        bytes.push(if coded { CODED } else { SIGNED });
        prop_assert!(a.open(INBOX_OF_A, &bytes.into()).is_err());
    });
}
