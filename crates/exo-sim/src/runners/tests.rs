//! Ranks that are told of each other as late as they may be.

use super::{FakeHost, Links};
use exo_ambient::Dice;
use exo_runner_host::{Connect, HostMessage, Limits, Load, RankAddress, Runner, RunnerEvent, RunnerEvents};
use exo_runner_host::{RunnerMessage, RunnerProgram, StartRunners};
use exo_types::{InstanceId, Shard, TensorShare};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Lives that a rank may go through until both are linked.
const LIVES: u64 = 10;

/// What is known of one rank.
struct Rank {
    runner: Runner,
    events: RunnerEvents,
    /// The life that it is in, and those that the other is not told of yet.
    incarnation: u64,
    news: VecDeque<(Instant, RankAddress)>,
    is_ready: bool,
}

impl Rank {
    async fn start(host: &FakeHost, rank: u32) -> Self {
        let program = RunnerProgram {
            program: PathBuf::new(),
            args: Vec::new(),
            name: rank.to_string(),
            limits: Limits::default(),
            confinement: None,
        };
        let (runner, events) = host.start(program).await.expect("it starts");
        runner.send(HostMessage::Load(load(rank))).expect("it listens");
        Self { runner, events, incarnation: 0, news: VecDeque::new(), is_ready: false }
    }

    fn connect(&self, other: &RankAddress) {
        let order = Connect { incarnation: self.incarnation, peers: vec![other.clone()] };
        self.runner.send(HostMessage::Connect(order)).expect("it listens");
    }

    fn due(&self) -> Instant {
        self.news.front().map_or_else(|| Instant::now() + Duration::from_secs(60), |(at, _)| *at)
    }
}

fn load(rank: u32) -> Load {
    let (start_layer, end_layer) = (rank, rank + 1);
    Load {
        model_path: PathBuf::new(),
        quantization: None,
        instance_id: InstanceId::new("instance").expect("a good id"),
        shard: Shard {
            device_rank: rank,
            world_size: 2,
            start_layer,
            end_layer,
            n_layers: 2,
            tensor: TensorShare::WHOLE,
        },
        context_length: 64,
        max_sequences: 1,
        prefill_chunk: 1,
        draft_tokens: 0,
        prefix_reuse: true,
        kv_format: exo_types::KvFormat::F16,
        threads: 1,
        isa: None,
        memory_limit: None,
        links: None,
        incarnation: 1,
    }
}

/// Whether two ranks become ready that hear of each other's lives after that delay, the first of the second's first after
/// `late`.
async fn meet(delay: Duration, late: Duration) -> bool {
    let (links, mut dice) = (Links::default(), Dice::new(1));
    let hosts = ["a", "b"].map(|name| FakeHost::new(name.to_owned(), links.clone(), dice.split()));
    let mut ranks = [Rank::start(&hosts[0], 0).await, Rank::start(&hosts[1], 1).await];
    // What they know at first is gone.
    let mut shown = [0, 1].map(|rank| RankAddress { rank, endpoint: "gone".to_owned(), incarnation: 0 });
    while !ranks.iter().all(|rank| rank.is_ready) {
        let due = [ranks[0].due(), ranks[1].due()];
        let [first, second] = &mut ranks;
        let (of, event) = tokio::select! {
            biased;
            event = first.events.next() => (0, event),
            event = second.events.next() => (1, event),
            () = sleep_until(due[0]) => (0, None),
            () = sleep_until(due[1]) => (1, None),
        };
        let other = 1 - of;
        match event {
            Some(RunnerEvent::Message(RunnerMessage::Loaded { tensor_endpoint: Some(endpoint), incarnation })) => {
                let wait = if of == 1 && incarnation == 1 { late } else { delay };
                let address = RankAddress { endpoint, incarnation, ..shown[of].clone() };
                ranks[of].news.push_back((Instant::now() + wait, address));
                (ranks[of].incarnation, ranks[of].is_ready) = (incarnation, false);
                ranks[of].connect(&shown[other]);
                if incarnation > LIVES {
                    return false;
                }
            }
            Some(RunnerEvent::Message(RunnerMessage::Ready { .. })) => ranks[of].is_ready = true,
            Some(_) => {}
            None => {
                let Some((_, address)) = ranks[of].news.pop_front() else { return false };
                if ranks[other].incarnation > 0 && !ranks[other].is_ready {
                    ranks[other].connect(&address);
                }
                shown[of] = address;
            }
        }
    }
    true
}

#[tokio::test(start_paused = true)]
async fn two_ranks_that_lose_each_other_again_and_again_meet_in_the_end() {
    for delay in [2, 26, 50] {
        for late in (984..1100).step_by(7) {
            let met = meet(Duration::from_millis(delay), Duration::from_millis(late)).await;
            assert!(met, "news take {delay} ms, the first {late} ms");
        }
    }
}
