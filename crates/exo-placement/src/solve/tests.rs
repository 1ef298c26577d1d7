use super::*;
use crate::{Defaults, RUNNER_RESERVE, check_solution};
use exo_types::{InstanceId, ModelCard, ModelId, NodeId};
use proptest::prelude::*;
use std::collections::BTreeSet;

const MIB: u64 = 1 << 20;

/// 8 layers of 100 MiB, 100 MiB of embedding and head; a token's cache takes 1 KiB per layer.
fn card() -> ModelCard {
    ModelCard {
        model_id: ModelId::new("m").expect("a good id"),
        name: String::new(),
        architecture: "llama".to_owned(),
        quantization: "Q8_0".to_owned(),
        n_layers: 8,
        hidden_size: 64,
        heads: 8,
        kv_heads: 4,
        context_length: 4096,
        kv_bytes_per_token: 8 << 10,
        kv_format: exo_types::KvFormat::F16,
        layer_size: Memory::mib(100),
        storage_size: Memory::mib(900),
    }
}

fn node(name: &str, free_mib: u64, speed: u32) -> NodeFacts {
    let node_id = NodeId::new(name).expect("a good id");
    NodeFacts { node_id, free: Memory::mib(free_mib), speed, has_model: true, reaches: BTreeSet::new() }
}

fn problem(nodes: Vec<NodeFacts>, min_nodes: u32) -> Problem {
    let defaults = Defaults { context_length: 4096, max_sequences: 1 };
    Problem { card: card(), nodes, min_nodes, sharding: Sharding::Pipeline, context_length: None, defaults }
}

/// Solves, checks the promises, and compares nodes and numbers of layers, rank by rank.
fn check(problem: &Problem, expect: &[(&str, u32)]) {
    let solution = solve(problem).expect("feasible");
    check_solution(problem, &solution).expect("promises are kept");
    let ranks: Vec<_> =
        solution.ranks.iter().map(|rank| (rank.node_id.as_str(), rank.layers.end - rank.layers.start)).collect();
    assert_eq!(ranks, expect);
    let instance = solution.into_instance(InstanceId::new("i").expect("a good id"), problem.card.clone());
    instance.check().expect("an instance that holds together");
}

#[test]
fn a_model_that_fits_one_node_is_not_split_unless_asked() {
    let nodes = vec![node("a", 2000, 4), node("b", 2000, 4)];
    check(&problem(nodes.clone(), 1), &[("a", 8)]);
    check(&problem(nodes, 2), &[("a", 4), ("b", 4)]);
}

#[test]
fn a_model_too_large_for_one_node_is_split_over_as_few_as_hold_it() {
    check(&problem(vec![node("a", 700, 1), node("b", 700, 1), node("c", 700, 1)], 1), &[("a", 4), ("b", 4)]);
    check(&problem(vec![node("a", 480, 1), node("b", 480, 1), node("c", 480, 1)], 1), &[("a", 3), ("b", 3), ("c", 2)]);
}

#[test]
fn layers_follow_speed_and_memory_bounds_them() {
    check(&problem(vec![node("a", 2000, 3), node("b", 2000, 1)], 2), &[("a", 6), ("b", 2)]);
    check(&problem(vec![node("slow", 2000, 1), node("fast", 280, 99)], 2), &[("slow", 6), ("fast", 2)]);
}

#[test]
fn only_nodes_that_have_the_file_are_used() {
    let mut nodes = vec![node("a", 4000, 64), node("b", 2000, 1)];
    nodes[0].has_model = false;
    check(&problem(nodes.clone(), 1), &[("b", 8)]);
    nodes[1].has_model = false;
    let names = nodes.iter().map(|node| node.node_id.clone()).collect();
    let expect = Infeasible::NoFile { model: card().model_id, nodes: names };
    assert_eq!(solve(&problem(nodes, 1)), Err(expect));
}

#[test]
fn ranks_go_along_links_that_were_seen_to_work() {
    let mut nodes = vec![node("a", 700, 1), node("b", 600, 1), node("c", 500, 1)];
    let names: Vec<NodeId> = nodes.iter().map(|node| node.node_id.clone()).collect();
    nodes[0].reaches.insert(names[2].clone());
    nodes[2].reaches.insert(names[1].clone());
    check(&problem(nodes, 3), &[("a", 3), ("c", 3), ("b", 2)]);
}

#[test]
fn a_context_that_was_not_asked_for_shrinks_until_the_model_fits() {
    // 900 MiB of weights, 64 MiB for the runner; 4096 tokens of cache take 32 MiB, 512 tokens 4 MiB.
    for (free, expect) in [(996, Some(4096)), (995, Some(2048)), (980, Some(2048)), (968, Some(512)), (967, None)] {
        let got = solve(&problem(vec![node("a", free, 1)], 1)).ok().map(|solution| solution.context_length);
        assert_eq!(got, expect, "{free} MiB");
    }
}

#[test]
fn a_context_that_was_asked_for_is_kept_or_refused() {
    let asked = |tokens| Problem { context_length: Some(tokens), ..problem(vec![node("a", 980, 1)], 1) };
    assert_eq!(solve(&asked(1000)).map(|solution| solution.context_length), Ok(1000));
    assert!(matches!(solve(&asked(4096)), Err(Infeasible::Memory { context_length: 4096, .. })));
    assert!(matches!(solve(&asked(4097)), Err(Infeasible::Context { longest: 4096, .. })));
    assert!(matches!(solve(&asked(0)), Err(Infeasible::Context { .. })));
}

#[test]
fn a_refusal_has_the_numbers() {
    let nodes = vec![node("a", 200, 1), node("b", 100, 1)];
    let text = solve(&problem(nodes, 1)).expect_err("too large").to_string();
    for part in ["m needs 968.0 MiB", "512 tokens", "node a has 200.0 MiB", "node b has 100.0 MiB"] {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
}

#[test]
fn what_cannot_be_asked_is_refused_by_name() {
    let nodes = || vec![node("a", 2000, 1), node("b", 50, 1)];
    let model = card().model_id;
    let too_few = Infeasible::TooFewNodes { model: model.clone(), asked: 2, usable: 1 };
    assert_eq!(solve(&problem(nodes(), 2)), Err(too_few));
    let layers = Infeasible::TooFewLayers { model: model.clone(), asked: 9, n_layers: 8 };
    assert_eq!(solve(&problem(nodes(), 9)), Err(layers));
    assert_eq!(solve(&problem(vec![], 1)), Err(Infeasible::NoNodes { model }));
    let mut twice = problem(nodes(), 1);
    twice.nodes.extend(nodes());
    assert!(matches!(solve(&twice), Err(Infeasible::Card { .. })));
    let mut hollow = problem(nodes(), 1);
    hollow.card.n_layers = 0;
    assert!(matches!(solve(&hollow), Err(Infeasible::Card { .. })));
}

#[test]
fn a_tensor_split_gives_every_node_an_even_share_of_all_layers() {
    let tensor = |nodes, min_nodes| Problem { sharding: Sharding::Tensor, ..problem(nodes, min_nodes) };
    let nodes = || vec![node("a", 700, 1), node("b", 600, 1), node("c", 2000, 4)];
    check(&tensor(nodes(), 1), &[("c", 8), ("a", 8)]);
    check(&tensor(nodes(), 3), &[("c", 8), ("a", 8), ("b", 8)]);
    let solution = solve(&tensor(nodes(), 2)).expect("feasible");
    let instance = solution.into_instance(InstanceId::new("i").expect("a good id"), card());
    let shares: Vec<_> = instance.ranks().iter().map(|(_, _, shard)| (shard.tensor.rank, shard.tensor.size)).collect();
    assert_eq!((instance.sharding, shares), (Sharding::Tensor, vec![(0, 2), (1, 2)]));
    let alone = solve(&tensor(vec![node("a", 2000, 1)], 1));
    assert!(matches!(alone, Err(Infeasible::TooFewNodes { asked: 2, usable: 1, .. })), "{alone:?}");
    let crowd = solve(&tensor(nodes(), 9));
    assert_eq!(crowd, Err(Infeasible::TooFewHeads { model: card().model_id, asked: 9, heads: 8 }));
}

#[test]
fn previews_tell_every_number_of_nodes() {
    let previews = previews(&problem(vec![node("a", 700, 1), node("b", 700, 1), node("c", 60, 1)], 1));
    let outcomes: Vec<_> = previews.iter().map(|preview| (preview.nodes, preview.outcome.is_ok())).collect();
    assert_eq!(outcomes, [(1, false), (2, true), (3, false)]);
}

fn any_problem() -> impl Strategy<Value = Problem> {
    let nodes = proptest::collection::vec((0u64..3000, 1u32..64, any::<bool>(), any::<u8>()), 0..12);
    let sharding = prop_oneof![Just(Sharding::Pipeline), Just(Sharding::Tensor)];
    let numbers = (1u32..6, 1u32..40, 1u32..9, proptest::option::of(1u32..5000));
    (nodes, numbers, sharding).prop_map(|(facts, (min_nodes, n_layers, heads, context), sharding)| {
        let name = |n: usize| NodeId::new(format!("n{n}")).expect("a good id");
        let nodes = facts.into_iter().enumerate().map(|(n, (free, speed, has_model, links))| NodeFacts {
            node_id: name(n),
            free: Memory::mib(free),
            speed,
            has_model,
            reaches: (0..8).filter(|bit| links >> bit & 1 == 1).map(name).collect(),
        });
        let mut problem = problem(nodes.collect(), min_nodes);
        (problem.card.n_layers, problem.card.heads, problem.card.kv_heads) = (n_layers, heads, heads);
        problem.card.storage_size = Memory::bytes(u64::from(n_layers) * 100 * MIB + 77 * MIB);
        (problem.context_length, problem.sharding) = (context, sharding);
        problem
    })
}

proptest! {
    #[test]
    fn every_solution_keeps_its_promises(problem in any_problem()) {
        if let Ok(solution) = solve(&problem) {
            prop_assert_eq!(check_solution(&problem, &solution), Ok(()));
        }
        for preview in previews(&problem) {
            if let Ok(solution) = preview.outcome {
                prop_assert_eq!(check_solution(&problem, &solution), Ok(()));
                prop_assert_eq!(solution.ranks.len(), preview.nodes as usize);
            }
        }
    }

    #[test]
    fn what_one_node_can_hold_is_never_refused(problem in any_problem()) {
        let context = problem.context_length.unwrap_or(512.min(problem.card.context_length));
        let whole = shard_memory(&problem.card, problem.card.n_layers, true, context, 1);
        let fits = problem.nodes.iter().any(|node| node.has_model && whole <= node.free);
        let is_alone = problem.min_nodes == 1 && problem.sharding == Sharding::Pipeline;
        if fits && is_alone && context <= problem.card.context_length {
            prop_assert!(solve(&problem).is_ok());
        }
    }

    #[test]
    fn a_shard_takes_at_least_its_reserve(layers in 0u32..100, context in 0u32..100_000) {
        prop_assert!(shard_memory(&card(), layers, false, context, 8) >= RUNNER_RESERVE);
    }
}
