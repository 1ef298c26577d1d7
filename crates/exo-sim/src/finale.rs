//! After the storm: the cluster serves again, and everybody agrees on what happened.

use crate::client::{Books, Door};
use crate::invariants::serves_again;
use crate::scenario::RECOVERY;
use crate::workload::placement;
use crate::world::World;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// One try, at most.
const TRY: Duration = Duration::from_secs(5);

/// Followers get what the last commands led to.
const SETTLE: Duration = Duration::from_millis(500);

/// Asks until it is answered or the time is over; then settles accounts.
pub(crate) async fn finale(world: &mut World) {
    let books = world.observer.books.clone();
    let doors: Vec<(String, Door)> =
        world.machines.iter().map(|machine| (machine.node_id.to_string(), machine.door.clone())).collect();
    let mut asking = JoinSet::new();
    for (name, door) in doors.into_iter().take(world.scenario.apis) {
        asking.spawn(ask_until_served(name, door, books.clone()));
    }
    while !asking.is_empty() {
        world.go_on(Instant::now() + PAUSE).await;
        while asking.try_join_next().is_some() {}
    }
    world.clients_ended().await;
    world.go_on(Instant::now() + SETTLE).await;
    world.observer.settle();
    books.trace.end();
}

/// What has to work.
#[derive(Debug, Clone, Copy)]
enum Errand {
    Place,
    Chat,
}

async fn ask_until_served(name: String, door: Door, books: Books) {
    let stopped = Instant::now();
    let who = format!("last client of {name}");
    for (errand, what) in [(Errand::Place, "a command"), (Errand::Chat, "a chat")] {
        let (after, last_word) = match until(stopped, &who, &door, &books, errand).await {
            Ok(after) => (Some(after), String::new()),
            Err(last_word) => (None, last_word),
        };
        let holds = serves_again::check(&format!("{what} through {name}"), after, RECOVERY, &last_word);
        books.findings.check(serves_again::NAME, holds);
    }
}

/// How long after `stopped` it was done, or why it was not.
async fn until(stopped: Instant, who: &str, door: &Door, books: &Books, errand: Errand) -> Result<Duration, String> {
    let mut last_word = "there is no api".to_owned();
    loop {
        let left = RECOVERY.saturating_sub(stopped.elapsed());
        if left.is_zero() {
            return Err(last_word);
        }
        if let Some(gate) = door.gate() {
            let within = left.min(TRY);
            let done = match errand {
                Errand::Place => books.command(who, gate, placement(1), within).await,
                Errand::Chat => books.chat(who, gate, 3, within).await,
            };
            match done {
                Ok(()) => return Ok(stopped.elapsed()),
                Err(word) => last_word = word,
            }
        }
        sleep(PAUSE).await;
    }
}
