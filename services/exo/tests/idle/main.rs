//! What a cluster costs that does nothing, over minutes of virtual time: no record in the log, next to no traffic.
//! Nothing in a cluster has a longer period than a minute, so that an hour costs six times what is measured here.
//!
//! Three machines, each with a master, an api and a worker whose memory is never quite the same twice. The network in
//! memory counts what goes from machine to machine; what TCP, TLS and keep-alives of links add is not in it.

mod machines;
mod master;
mod traffic;

use exo_bus::{MemoryNetwork, topics};
use exo_plan::MemoryNews;
use exo_types::{StreamChunk, TokenChunk};
use machines::{Load, Machine, generate_request, node};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;
use traffic::{Meter, Traffic};

const WATCHED: Duration = Duration::from_secs(600);
/// Everybody has found everybody and told what there is to tell.
const SETTLED: Duration = Duration::from_secs(120);
/// Bytes that a node may send in a second of idling.
const IDLE_RATE: f64 = 1000.0;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// The machines; the first one with other work to do, perhaps.
async fn cluster(network: &MemoryNetwork, meter: &Meter, first: Load) -> Vec<Machine> {
    let mut machines = Vec::new();
    for name in NAMES {
        let load = if name == NAMES[0] { first } else { Load::Nothing };
        machines.push(Machine::start(network, meter, name, load).await);
    }
    sleep(SETTLED).await;
    for machine in &machines {
        let view = machine.view();
        assert!(view.is_joined() && view.state.topology.nodes.len() == NAMES.len(), "{:?}", view.state.topology);
        assert_eq!(view.masters.len(), NAMES.len());
    }
    machines
}

#[tokio::test(start_paused = true)]
async fn ten_idle_minutes_write_nothing_and_send_less_than_a_kilobyte_a_second() {
    let network = MemoryNetwork::new(1);
    let meter = Meter::on(&network);
    let machines = cluster(&network, &meter, Load::Nothing).await;
    let log = machines[0].log_end().await;
    meter.reset();
    sleep(WATCHED).await;
    assert_eq!(machines[0].log_end().await, log, "nothing happened, so that nothing is written");
    for name in NAMES {
        let Traffic { messages, bytes } = meter.sent_by(name);
        let rate = bytes as f64 / WATCHED.as_secs_f64();
        println!("{name}: {rate:.0} bytes and {:.1} messages a second", messages as f64 / WATCHED.as_secs_f64());
        assert!(rate > 0.0, "the meter stands still");
        assert!(rate < IDLE_RATE, "{name} sends {rate:.0} bytes a second: {:#?}", meter.by_key());
    }
}

/// The bound is a product: readings that a worker may tell in a day, workers, bytes that one of them takes in the log.
/// The first is held by `exo-plan` over every course of readings; the last is measured here.
#[tokio::test(start_paused = true)]
async fn a_machine_that_does_other_work_writes_less_than_a_megabyte_of_log_a_day() {
    const NODES: u64 = 32;
    const MEGABYTE: u64 = 1_000_000;
    let network = MemoryNetwork::new(3);
    let meter = Meter::on(&network);
    let machines = cluster(&network, &meter, Load::OtherPrograms).await;
    let before = machines[0].leader_standing().await;
    sleep(WATCHED * 2).await;
    let after = machines[0].leader_standing().await;
    let events = after.applied.0 - before.applied.0;
    assert!((1..=MemoryNews::PER_DAY / 24 + 1).contains(&events), "{events} events in twenty minutes");
    let bytes = (after.counters.record_bytes - before.counters.record_bytes).div_ceil(events);
    assert!((50..500).contains(&bytes), "{bytes} bytes for a reading");
    let day = MemoryNews::PER_DAY * NODES * bytes;
    println!("{bytes} bytes for a reading, at most {day} bytes a day for {NODES} machines");
    assert!(day < MEGABYTE, "{day} bytes a day");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_tokens_are_no_record_and_no_message_to_third_parties() {
    const TOKENS: usize = 10_000;
    let network = MemoryNetwork::new(2);
    let meter = Meter::on(&network);
    let machines = cluster(&network, &meter, Load::Nothing).await;
    let log = machines[0].log_end().await;
    meter.reset();
    let mut served = machines[1].bus.serve_streams(topics::GENERATE).await.expect("nobody else serves");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut stream = served.recv().await.expect("a request");
        for _ in 0..TOKENS {
            let chunk = TokenChunk { text: "word ".to_owned(), token_ids: vec![1], ..TokenChunk::default() };
            stream.sender.send(&StreamChunk::Token(chunk)).await.expect("somebody reads");
        }
        stream.sender.finish();
    });
    let begin = tokio::time::Instant::now();
    let patience = Duration::from_secs(10);
    let opened = machines[0].bus.open_stream(topics::GENERATE, &node("b"), &generate_request(), patience).await;
    let mut answer = opened.expect("it is served");
    let mut tokens = 0;
    while answer.recv(patience).await.expect("it goes on").is_some() {
        tokens += 1;
    }
    assert_eq!(tokens, TOKENS);
    assert_eq!(machines[0].log_end().await, log);
    assert!(meter.sent_by("b").messages >= TOKENS as u64 / 10, "they went from machine to machine");
    let third = meter.sent_by("c").bytes as f64;
    assert!(third <= IDLE_RATE * (begin.elapsed().as_secs_f64() + 2.0), "{third} bytes of the third machine");
}
