use super::*;
use crate::{Memory, ModelId, TensorShare};

fn card(n_layers: u32) -> ModelCard {
    ModelCard {
        model_id: ModelId::new("m").expect("a good id"),
        name: String::new(),
        architecture: "llama".to_owned(),
        quantization: "Q8_0".to_owned(),
        n_layers,
        hidden_size: 8,
        heads: 6,
        kv_heads: 3,
        context_length: 16,
        kv_bytes_per_token: 4,
        kv_format: crate::KvFormat::F16,
        layer_size: Memory::bytes(10),
        storage_size: Memory::bytes(100),
    }
}

/// An instance over `ranges` of layers, one node and runner for each, ranks in order.
fn instance(n_layers: u32, ranges: &[(u32, u32)]) -> Instance {
    let mut assignments = ShardAssignments {
        model_card: card(n_layers),
        runner_to_shard: BTreeMap::new(),
        node_to_runner: BTreeMap::new(),
    };
    for (rank, (start_layer, end_layer)) in (0u32..).zip(ranges.iter().copied()) {
        let runner = RunnerId::new(format!("r{rank}")).expect("a good id");
        let world_size = ranges.len() as u32;
        let shard =
            Shard { device_rank: rank, world_size, start_layer, end_layer, n_layers, tensor: TensorShare::WHOLE };
        assignments.runner_to_shard.insert(runner.clone(), shard);
        // Nodes in the other order than ranks: the order must come from the ranks.
        assignments.node_to_runner.insert(NodeId::new(format!("n{}", 9 - rank)).expect("a good id"), runner);
    }
    Instance {
        instance_id: InstanceId::new("i").expect("a good id"),
        sharding: Sharding::Pipeline,
        shard_assignments: assignments,
        context_length: 16,
        max_sequences: 1,
        intent: None,
    }
}

#[test]
fn shards_must_cover_every_layer_once_in_rank_order() {
    for (ranges, good) in [
        (&[(0, 6)][..], true),
        (&[(0, 2), (2, 6)], true),
        (&[(0, 1), (1, 2), (2, 6)], true),
        (&[], false),
        (&[(0, 5)], false),
        (&[(1, 6)], false),
        (&[(0, 3), (2, 6)], false),
        (&[(0, 2), (3, 6)], false),
        (&[(2, 6), (0, 2)], false),
        (&[(0, 6), (6, 6)], false),
        (&[(0, 7)], false),
    ] {
        assert_eq!(instance(6, ranges).check().is_ok(), good, "{ranges:?}");
    }
}

#[test]
fn the_head_is_rank_zero_whatever_its_node_is_called() {
    let instance = instance(6, &[(0, 2), (2, 6)]);
    let (node, runner) = instance.head().expect("two ranks");
    assert_eq!((node.as_str(), runner.as_str()), ("n9", "r0"));
}

#[test]
fn a_runner_without_a_node_or_a_shard_is_refused() {
    let mut without_node = instance(6, &[(0, 2), (2, 6)]);
    without_node.shard_assignments.node_to_runner.pop_first();
    let mut without_shard = instance(6, &[(0, 2), (2, 6)]);
    without_shard.shard_assignments.runner_to_shard.pop_last();
    for instance in [without_node, without_shard] {
        assert!(matches!(instance.check(), Err(InstanceError::Unmatched { .. })), "{instance:?}");
    }
}

#[test]
fn ranks_that_do_not_count_up_are_refused() {
    let mut instance = instance(6, &[(0, 2), (2, 6)]);
    for shard in instance.shard_assignments.runner_to_shard.values_mut() {
        shard.world_size = 3;
    }
    assert_eq!(instance.check(), Err(InstanceError::Cover { n_layers: 6 }));
}

#[test]
fn two_nodes_cannot_share_a_runner() {
    let mut instance = instance(6, &[(0, 6)]);
    let runner = RunnerId::new("r0").expect("a good id");
    instance.shard_assignments.node_to_runner.insert(NodeId::new("other").expect("a good id"), runner);
    assert_eq!(instance.check(), Err(InstanceError::Cover { n_layers: 6 }));
}

/// Two stages of three ranks each.
fn shared() -> Instance {
    let mut instance = instance(6, &[(0, 4), (0, 4), (0, 4), (4, 6), (4, 6), (4, 6)]);
    instance.sharding = Sharding::Tensor;
    for shard in instance.shard_assignments.runner_to_shard.values_mut() {
        shard.tensor = TensorShare { rank: shard.device_rank % 3, size: 3 };
    }
    instance
}

#[test]
fn ranks_may_share_layers_if_all_stages_do() {
    assert_eq!(shared().check(), Ok(()));
    let mut uneven = shared();
    let last = uneven.shard_assignments.runner_to_shard.values_mut().next_back().expect("six ranks");
    last.tensor = TensorShare { rank: 0, size: 2 };
    assert!(matches!(uneven.check(), Err(InstanceError::Shard { .. })), "{uneven:?}");
    let mut apart = shared();
    let last = apart.shard_assignments.runner_to_shard.values_mut().next_back().expect("six ranks");
    last.start_layer = 5;
    assert_eq!(apart.check(), Err(InstanceError::Cover { n_layers: 6 }));
}

#[test]
fn shares_are_as_many_as_heads_allow_and_as_the_cut_is_called() {
    let mut few = shared();
    few.shard_assignments.model_card.heads = 2;
    assert_eq!(few.check(), Err(InstanceError::Heads { size: 3, heads: 2 }));
    let miscalled = Instance { sharding: Sharding::Pipeline, ..shared() };
    assert_eq!(miscalled.check(), Err(InstanceError::Sharding { sharding: Sharding::Pipeline, size: 3 }));
    let whole = Instance { sharding: Sharding::Tensor, ..instance(6, &[(0, 6)]) };
    assert_eq!(whole.check(), Err(InstanceError::Sharding { sharding: Sharding::Tensor, size: 1 }));
}

#[test]
fn every_two_that_talk_are_connected_once() {
    let instance = shared();
    let shards: Vec<_> = instance.ranks().into_iter().map(|(_, _, shard)| shard.clone()).collect();
    let of = |what: fn(&Shard) -> Vec<u32>| shards.iter().map(what).collect::<Vec<_>>();
    assert_eq!(of(Shard::nexts), [vec![1, 2, 3], vec![], vec![], vec![4, 5, 0], vec![], vec![]]);
    assert_eq!(of(Shard::calls), [vec![1, 2, 3], vec![2], vec![], vec![4, 5, 0], vec![5], vec![]]);
    let previous: Vec<_> = shards.iter().map(Shard::previous).collect();
    assert_eq!(previous, [Some(3), Some(0), Some(0), Some(0), Some(3), Some(3)]);
    let alone = Shard { world_size: 1, device_rank: 0, tensor: TensorShare::WHOLE, ..shards[0].clone() };
    assert_eq!((alone.previous(), alone.nexts(), alone.calls()), (None, vec![], vec![]));
}
