//! Prints how long placing takes: `cargo run --release -p exo-placement --example measure`.

use exo_placement::{Defaults, NodeFacts, Problem, previews, solve};
use exo_types::{Memory, ModelCard, ModelId, NodeId, Sharding};
use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 20;

/// 80 layers that take all of the nodes, each of which reaches every other.
fn problem(nodes: u64) -> Problem {
    let name = |n| NodeId::new(format!("n{n}")).expect("letters and digits are an id");
    let node = |n: u64| NodeFacts {
        node_id: name(n),
        free: Memory::mib(3000 + 10 * n),
        speed: 1 + n as u32 % 7,
        has_model: true,
        reaches: (0..nodes).map(name).collect(),
    };
    let card = ModelCard {
        model_id: ModelId::new("large").expect("letters are an id"),
        name: String::new(),
        architecture: "llama".to_owned(),
        quantization: "Q4_0".to_owned(),
        n_layers: 80,
        hidden_size: 8192,
        heads: 64,
        kv_heads: 8,
        context_length: 8192,
        kv_bytes_per_token: 80 * 4096,
        kv_format: exo_types::KvFormat::F16,
        layer_size: Memory::mib(nodes * 30),
        storage_size: Memory::mib(nodes * 30 * 80 + 1000),
    };
    let defaults = Defaults { context_length: 4096, max_sequences: 1 };
    Problem {
        card,
        nodes: (0..nodes).map(node).collect(),
        min_nodes: 1,
        sharding: Sharding::Pipeline,
        context_length: None,
        defaults,
    }
}

#[expect(clippy::disallowed_methods, reason = "an example that measures needs the clock")]
fn time(run: impl Fn()) -> Duration {
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| run());
    start.elapsed() / ROUNDS
}

fn main() {
    println!("nodes   solve       all previews");
    for nodes in [2, 8, 32, 64] {
        let problem = problem(nodes);
        let one = time(|| drop(black_box(solve(&problem))));
        let all = time(|| drop(black_box(previews(&problem))));
        println!("{nodes:<7} {one:<11.2?} {all:.2?}");
    }
}
