//! Models against the memory of one machine: 8 GiB, of which 512 MiB are left to others.

use super::{Error, Severity, Warning, check};
use crate::doctor::facts::Facts;
use exo_config::Mode;
use exo_types::{Memory, ModelCard, ModelId};

/// One layer of so many MiB, and 1 KiB for each token. Beside the weights its runner takes 64 MiB, and 32 for eight
/// sequences of 4096 tokens; of 512 tokens, which is the least, 4.
fn card(name: &str, mib: u64) -> (ModelId, Option<ModelCard>) {
    let model_id = ModelId::new(name).expect("an id");
    let card = ModelCard {
        model_id: model_id.clone(),
        name: String::new(),
        architecture: "llama".to_owned(),
        quantization: "Q8_0".to_owned(),
        n_layers: 1,
        hidden_size: 1,
        heads: 1,
        kv_heads: 1,
        context_length: 1 << 20,
        kv_bytes_per_token: 1 << 10,
        kv_format: exo_types::KvFormat::F16,
        layer_size: Memory::mib(mib),
        storage_size: Memory::mib(mib),
    };
    (model_id, Some(card))
}

/// Of the machine, beside what is left to others.
fn free(facts: &mut Facts, mib: u64) {
    facts.resources.ram_available = Memory::mib(mib);
}

/// A machine without other programs, on which these are to be placed.
fn place(sizes: &[u64]) -> impl Fn(&mut Facts) {
    let models: Vec<_> = ["m", "n", "o"].iter().zip(sizes).map(|(name, mib)| card(name, *mib)).collect();
    move |facts| {
        free(facts, (8 << 10) - 512);
        facts.models.clone_from(&models);
    }
}

#[test]
fn a_model_fits_gets_less_context_or_needs_other_nodes() {
    for (mib, expect) in [
        (7584, None),
        (7585, Some((Warning, "a context of 2048 tokens with model m, not for 4096", "add a node"))),
        (7612, Some((Warning, "a context of 512 tokens with model m, not for 4096", "engine.maxSequences"))),
        (7613, Some((Warning, "model m needs 7.5 GiB", "it needs other nodes too"))),
    ] {
        check(place(&[mib]), expect.as_slice());
    }
}

#[test]
fn what_never_fits_is_an_error_where_there_is_no_other_node() {
    type Change = fn(&mut Facts);
    let changes: [(Change, Severity, &str); 4] = [
        (|_| {}, Warning, "it needs other nodes too"),
        (|facts| facts.nodes = Some(2), Warning, "models.quantize"),
        (|facts| facts.nodes = Some(1), Error, "add a node that has the model"),
        (|facts| facts.config.networking.loopback_only = true, Error, "runner.memoryReserve"),
    ];
    for (change, severity, remedy) in changes {
        let large = |facts: &mut Facts| {
            place(&[9000])(facts);
            change(facts);
        };
        check(large, &[(severity, "model m needs 8.9 GiB, with a context of only 512 tokens", remedy)]);
        let missing = |facts: &mut Facts| {
            facts.models = vec![(ModelId::new("m").expect("an id"), None)];
            change(facts);
        };
        check(missing, &[(severity, "model m (models.place) is not on this machine", "m.gguf")]);
    }
}

#[test]
fn models_that_fit_one_by_one_are_judged_together() {
    check(place(&[3000, 3000]), &[]);
    // The third would fit alone.
    let beside = "model o needs 3.0 GiB, with a context of only 512 tokens, and exo may use 1.5 GiB of this machine's \
                  memory beside the other models";
    check(place(&[3000, 3000, 3000]), &[(Warning, beside, "other nodes")]);
    check(place(&[3000, 9000, 3000]), &[(Warning, "model n needs 8.9 GiB", "other nodes")]);
}

#[test]
fn a_runner_that_may_not_take_what_it_needs_is_told_with_the_key() {
    let limited = |mib: u64, is_alone: bool| {
        move |facts: &mut Facts| {
            place(&[4000])(facts);
            facts.config.runner.memory_limit = Some(Memory::mib(mib));
            facts.config.networking.loopback_only = is_alone;
        }
    };
    check(limited(4032, true), &[]);
    check(limited(4031, false), &[(Warning, "a runner may take 3.9 GiB (runner.memoryLimit)", "raise it")]);
    check(limited(4031, true), &[(Error, "model m takes 3.9 GiB", "engine.contextLength")]);
}

#[test]
fn memory_that_others_have_now_is_told_unless_exo_itself_may_have_it() {
    let crowded = |mib: u64, nodes: Option<u64>| {
        move |facts: &mut Facts| {
            place(&[2000, 2000])(facts);
            free(facts, mib);
            facts.nodes = nodes;
        }
    };
    check(crowded(4192, None), &[]);
    check(
        crowded(4191, None),
        &[(Warning, "take 4.1 GiB, and of this machine's memory 4.1 GiB are left", "end programs")],
    );
    check(crowded(4191, Some(2)), &[]);
}

#[test]
fn a_reserve_of_everything_is_an_error_where_a_worker_runs() {
    let reserved = |facts: &mut Facts| facts.config.runner.memory_reserve = Memory::mib((8 << 10) - 64);
    check(reserved, &[(Error, "runner.memoryReserve 7.9 GiB leaves nothing of this machine's 8.0 GiB", "lower it")]);
    let master = |facts: &mut Facts| {
        reserved(facts);
        place(&[9000])(facts);
        facts.config.mode = Mode::Master;
    };
    check(master, &[]);
}

#[test]
fn a_card_that_cannot_be_is_told_as_the_master_tells_it() {
    let broken = |facts: &mut Facts| {
        place(&[100])(facts);
        for (_, card) in &mut facts.models {
            *card = card.take().map(|card| ModelCard { n_layers: 0, ..card });
        }
    };
    check(broken, &[(Error, "the card of m is wrong: m has no layer", "replace its file")]);
}
