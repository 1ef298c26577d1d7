use super::*;
use exo_identity::Identity;
use std::time::SystemTime;

const OWN: PeerId = [5; 16];
const LARGER: PeerId = [9; 16];
const SMALLER: PeerId = [1; 16];

fn place(id: PeerId) -> Place {
    Place { id, addresses: vec!["10.0.0.7:1".parse().expect("an address")] }
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good id")
}

fn link(number: u64, id: PeerId) -> Link {
    let identity = Identity::found(node("b"), "lab", SystemTime::now()).expect("founds");
    let facts = Facts::read(&identity.parts().certificate).expect("readable");
    Link { id: LinkId(number), node: node("b"), place: place(id), admits: false, facts, meter: Arc::default() }
}

fn called(table: &mut Table, now: Instant) -> Vec<Target> {
    table.calls(now, 9).into_iter().map(|call| call.target).collect()
}

#[test]
fn the_larger_id_calls_at_once_and_the_smaller_leaves_it_the_first_step() {
    let now = Instant::now();
    let mut table = Table::new(OWN, &[], now);
    table.on_heard(now, place(SMALLER));
    table.on_heard(now, place(LARGER));
    assert_eq!(called(&mut table, now), [Target::Peer(SMALLER)]);
    assert_eq!(table.poll_timeout(), Some(now + PATIENCE));
    assert_eq!(called(&mut table, now + PATIENCE), [Target::Peer(LARGER)]);
    assert!(called(&mut table, now + PATIENCE).is_empty(), "one call at a time");
}

#[test]
fn calls_follow_one_another_slower_and_slower_until_a_link_is_there() {
    let mut now = Instant::now();
    let target = Target::Static("a:1".to_owned());
    let mut table = Table::new(OWN, &["a:1".to_owned()], now);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        assert_eq!(called(&mut table, now), std::slice::from_ref(&target));
        table.on_called(now, &target, None);
        let next = table.poll_timeout().expect("another try");
        pauses.push(u64::try_from((next - now).as_millis()).expect("short"));
        now = next;
    }
    assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 4000]);
    assert_eq!(called(&mut table, now), std::slice::from_ref(&target));
    table.on_linked(link(1, LARGER));
    table.on_called(now, &target, Some(LARGER));
    assert!(called(&mut table, now + FORGET * 2).is_empty());
    assert_eq!(table.poll_timeout(), None);
}

#[test]
fn whoever_is_lost_is_called_again_soon() {
    let now = Instant::now();
    let target = Target::Static("a:1".to_owned());
    let mut table = Table::new(OWN, &["a:1".to_owned()], now);
    assert_eq!(called(&mut table, now).len(), 1);
    table.on_linked(link(1, SMALLER));
    table.on_called(now, &target, Some(SMALLER));
    assert!(!table.on_ended(now, &SMALLER, LinkId(7)), "another link");
    assert!(table.on_ended(now, &SMALLER, LinkId(1)));
    assert_eq!(called(&mut table, now), [Target::Peer(SMALLER)]);
    assert_eq!(called(&mut table, now + PAUSES.0), [target]);
}

#[test]
fn a_process_that_nobody_hears_of_is_forgotten_and_one_that_was_replaced_at_once() {
    let now = Instant::now();
    let mut table = Table::new(OWN, &[], now);
    table.on_heard(now, place(SMALLER));
    assert_eq!(called(&mut table, now).len(), 1);
    table.on_called(now, &Target::Peer(SMALLER), None);
    assert!(called(&mut table, now + FORGET).is_empty());
    assert_eq!(table.poll_timeout(), None);

    table.on_heard(now, place(SMALLER));
    assert_eq!(called(&mut table, now).len(), 1);
    table.on_called(now, &Target::Peer(SMALLER), Some(LARGER));
    assert_eq!(table.poll_timeout(), None);
}

#[test]
fn nobody_calls_itself_twice() {
    let now = Instant::now();
    let mut table = Table::new(OWN, &["self:1".to_owned()], now);
    table.on_heard(now, place(OWN));
    assert_eq!(called(&mut table, now), [Target::Static("self:1".to_owned())]);
    table.on_called(now, &Target::Static("self:1".to_owned()), Some(OWN));
    assert!(called(&mut table, now + FORGET).is_empty());
}

#[test]
fn one_link_for_each_process_and_no_foreign_one() {
    let mut table = Table::new(OWN, &[], Instant::now());
    assert_eq!(table.judge(&OWN, &node("b")), Verdict::Itself);
    assert_eq!(table.judge(&SMALLER, &node("b")), Verdict::Accepted);
    table.on_linked(link(1, SMALLER));
    assert_eq!(table.judge(&SMALLER, &node("b")), Verdict::Doubled);
    assert_eq!(table.judge(&SMALLER, &node("c")), Verdict::Foreign);
    assert_eq!(table.on_linked(link(2, SMALLER)), Some(LinkId(1)));
    assert!(table.decides(&SMALLER) && !table.decides(&LARGER));
}

#[test]
fn a_flood_of_names_is_bounded() {
    let now = Instant::now();
    let mut table = Table::new(OWN, &["a:1".to_owned()], now);
    for number in 0..10_000_u128 {
        table.on_heard(now, place(number.to_le_bytes()));
    }
    assert!(table.attempts.len() <= KNOWN);
    assert!(table.attempts.contains_key(&Target::Static("a:1".to_owned())));
}

#[test]
fn an_id_that_looks_like_another_process_is_nobodys_to_take() {
    let mut table = Table::new(OWN, &[], Instant::now());
    table.on_linked(link(1, LARGER));
    let like = |id: PeerId| {
        let mut like = id;
        like[15] ^= 1;
        like
    };
    assert_eq!(table.judge(&like(LARGER), &node("c")), Verdict::Foreign);
    assert_eq!(table.judge(&like(OWN), &node("c")), Verdict::Foreign);
    assert_eq!(table.judge(&SMALLER, &node("c")), Verdict::Accepted);
}
