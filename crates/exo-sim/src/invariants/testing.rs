//! What the tests of several invariants need.

use exo_types::{Intent, IntentId, ModelId, PlaceInstance, Sharding};

/// A wish for a model on one node.
pub(super) fn intent(name: &str) -> Intent {
    let id = IntentId::new(name).expect("a good id");
    let model_id = ModelId::new("m").expect("a good id");
    let sharding = Sharding::Pipeline;
    let place = PlaceInstance { model_id, sharding, min_nodes: 1, node_ids: Vec::new(), context_length: None };
    Intent { id, place, max_sequences: None }
}
