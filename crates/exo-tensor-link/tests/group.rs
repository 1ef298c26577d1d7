//! Ranks that work together: whatever the timing, the same bits; whatever goes wrong, an end.

use exo_identity::Identity;
use exo_tensor_link::{Group, GroupError, Handshake, Link, Listener, Precision};
use proptest::prelude::*;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

static OWN: LazyLock<Identity> = LazyLock::new(|| {
    let node = exo_types::NodeId::new("a").expect("a good id");
    Identity::found(node, "lab", SystemTime::now()).expect("founds")
});

/// Long enough for a machine that does much else; nothing waits for it to pass.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn handshake(rank: usize, peer: usize, world: usize, precision: Precision) -> Handshake {
    Handshake {
        instance: "instance-1".to_owned(),
        incarnation: 3,
        rank: rank as u32,
        peer: peer as u32,
        world: world as u32,
        channel: 1,
        max_metadata: 8,
        // Small, so that parts travel in several frames.
        max_values: 700,
        precision,
    }
}

/// So many ranks, every two of them linked.
fn groups(world: usize, precision: Precision) -> Vec<Group<Link>> {
    groups_of(world, |rank, peer| handshake(rank, peer, world, precision))
}

fn groups_of(world: usize, handshake: impl Fn(usize, usize) -> Handshake) -> Vec<Group<Link>> {
    let mut links: Vec<Vec<Option<Link>>> = (0..world).map(|_| (0..world).map(|_| None).collect()).collect();
    for (higher, lower) in (0..world).flat_map(|higher| (0..higher).map(move |lower| (higher, lower))) {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = listener.address();
        let own = handshake(higher, lower);
        let accepting = thread::spawn(move || listener.accept(&OWN, &own, soon()).expect("accepts"));
        let own = handshake(lower, higher);
        links[lower][higher] = Some(Link::connect(address, &OWN, &own, soon()).expect("connects"));
        links[higher][lower] = Some(accepting.join().expect("does not panic"));
    }
    let group = |(rank, links): (usize, Vec<Option<Link>>)| Group::new(rank, links.into_iter().flatten().collect());
    links.into_iter().enumerate().map(group).collect()
}

/// Lets every rank do `work` in a thread of its own; what each of them gets.
fn together<T: Send>(groups: &mut [Group<Link>], work: impl Fn(&mut Group<Link>) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let ranks: Vec<_> = groups.iter_mut().map(|group| scope.spawn(|| work(group))).collect();
        ranks.into_iter().map(|rank| rank.join().expect("does not panic")).collect()
    })
}

/// A number of a rank, neither round nor alike.
fn value(rank: usize, index: usize) -> f32 {
    ((rank * 7919 + index * 104_729) % 10_007) as f32 / 97.0 - 51.0
}

/// Does nothing for a while that differs from rank to rank and from call to call.
fn dawdle(rank: usize, salt: usize) {
    for _ in 0..(rank * 31 + salt * 17) % 40 {
        thread::yield_now();
    }
}

fn gathered(group: &mut Group<Link>, parts: &[usize], salt: usize) -> Vec<f32> {
    dawdle(group.rank(), salt);
    let start: usize = parts[..group.rank()].iter().sum();
    let mut whole = vec![f32::NAN; parts.iter().sum()];
    let own = start..start + parts[group.rank()];
    whole[own.clone()].iter_mut().zip(own).for_each(|(number, index)| *number = value(group.rank(), index));
    group.all_gather(parts, &mut whole, soon()).expect("all are there");
    whole
}

fn summed(group: &mut Group<Link>, length: usize, salt: usize) -> Vec<f32> {
    dawdle(group.rank(), salt);
    let mut values: Vec<f32> = (0..length).map(|index| value(group.rank(), index)).collect();
    group.all_reduce(&mut values, soon()).expect("all are there");
    values
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn everybody_gets_every_part(parts in proptest::collection::vec(0usize..3000, 1..5), salt in 0usize..100) {
        let mut groups = groups(parts.len(), Precision::F32);
        let owner = |index: usize| {
            let mut end = 0;
            parts.iter().position(|part| { end += part; index < end }).expect("inside")
        };
        let expect: Vec<f32> = (0..parts.iter().sum()).map(|index| value(owner(index), index)).collect();
        for whole in together(&mut groups, |group| gathered(group, &parts, salt)) {
            prop_assert_eq!(&whole, &expect);
        }
    }

    #[test]
    fn sums_are_those_of_the_ranks_in_order(world in 1usize..5, length in 0usize..6000, salt in 0usize..100) {
        let mut groups = groups(world, Precision::F32);
        let sum = |index| (1..world).fold(value(0, index), |sum, rank| sum + value(rank, index));
        let expect: Vec<u32> = (0..length).map(|index| sum(index).to_bits()).collect();
        for again in 0..2 {
            for values in together(&mut groups, |group| summed(group, length, salt + again)) {
                let bits: Vec<u32> = values.into_iter().map(f32::to_bits).collect();
                prop_assert_eq!(&bits, &expect);
            }
        }
    }

    #[test]
    fn the_root_alone_gets_the_parts(parts in proptest::collection::vec(0usize..2000, 2..5), root in 0usize..5) {
        let root = root % parts.len();
        let mut groups = groups(parts.len(), Precision::F32);
        let wholes = together(&mut groups, |group| {
            let start: usize = parts[..group.rank()].iter().sum();
            let mut whole = vec![-1.0; parts.iter().sum()];
            whole[start..start + parts[group.rank()]].fill(group.rank() as f32);
            group.gather(root, &parts, &mut whole, soon()).expect("all are there");
            whole
        });
        let expect: Vec<f32> = parts.iter().enumerate().flat_map(|(rank, part)| vec![rank as f32; *part]).collect();
        prop_assert_eq!(&wholes[root], &expect);
        let other = usize::from(root == 0);
        prop_assert!(wholes[other].iter().all(|value| *value == -1.0 || *value == other as f32));
    }
}

#[test]
fn half_precision_rounds_what_comes_from_others() {
    let mut groups = groups(2, Precision::F16);
    let wholes = together(&mut groups, |group| {
        let mut whole = [0.1, 0.1];
        group.all_gather(&[1, 1], &mut whole, soon()).expect("both are there");
        whole
    });
    assert_eq!(wholes, [[0.1, 0.099_975_586], [0.099_975_586, 0.1]]);
}

#[test]
fn operations_allocate_nothing_but_records() {
    let wide = |handshake| Handshake { max_values: 100_000, ..handshake };
    let mut groups = groups_of(3, |rank, peer| wide(handshake(rank, peer, 3, Precision::F32)));
    let parts = [100_000, 50_000, 70_000];
    let once = |group: &mut Group<Link>, whole: &mut [f32]| group.all_gather(&parts, whole, soon()).expect("all there");
    let most = together(&mut groups, |group| {
        let mut whole = vec![0.0; 220_000];
        once(group, &mut whole);
        let measured = allocation_counter::measure(|| (0..20).for_each(|_| once(group, &mut whole)));
        (measured.bytes_max, measured.bytes_current)
    });
    for (most, kept) in most {
        // A frame has 200 kB and more; TLS hands over 16 kB at a time, a few of them at once.
        assert!(most < 150_000 && kept.abs() < 1_000, "{most} bytes at a time, {kept} kept");
    }
}

#[test]
fn a_rank_that_does_not_come_is_named_at_the_deadline() {
    let mut groups = groups(3, Precision::F32);
    let mut whole = [0.0; 3];
    let late = groups[0].all_gather(&[1, 1, 1], &mut whole, Instant::now() + Duration::from_millis(20));
    assert!(matches!(late, Err(GroupError::Late { ranks }) if ranks == [1, 2]));
}

#[test]
fn a_rank_that_is_gone_ends_everybody_at_once() {
    let mut groups = groups(3, Precision::F32);
    drop(groups.pop());
    let ends = together(&mut groups, |group| {
        let mut whole = [0.0; 3];
        // Its last words may be on their way when the first operation ends.
        group.all_gather(&[1, 1, 1], &mut whole, soon()).expect_err("one is missing")
    });
    assert!(ends.iter().all(|end| matches!(end, GroupError::Link { rank: 2, .. })), "{ends:?}");
}

#[test]
fn ranks_that_disagree_are_told_apart() {
    let mut pair = groups(2, Precision::F32);
    let ends = together(&mut pair, |group| {
        let parts = [2, 1 + group.rank()];
        let mut whole = vec![0.0; 3 + group.rank()];
        group.all_gather(&parts, &mut whole, soon())
    });
    assert!(matches!(ends[0], Err(GroupError::Length { rank: 1, expected: 1, found: 2 })), "{ends:?}");
    let mut pair = groups(2, Precision::F32);
    let mut one = [0.0];
    let refused = pair[0].all_gather(&[1, 1], &mut one, soon());
    assert!(matches!(refused, Err(GroupError::Parts { ranks: 2, parts: 2, whole: 1 })));
}
