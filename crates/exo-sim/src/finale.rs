//! After the storm: the cluster serves again, and everybody agrees on what happened.

use crate::client::{Books, Door};
use crate::invariants::{Holds, one_session, serves_again, wishes_granted};
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

/// Until all are in one session: a master that asked to be taken in, and whose question was lost, asks again after 35 s.
const UNITED: Duration = Duration::from_secs(45);

/// Asks until it is answered or the time is over; waits until all have everything; then settles accounts.
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
    let united = wait_for(world, UNITED, |world| one_session::check(&world.finals())).await;
    books.findings.check(one_session::NAME, united);
    let served = wait_for(world, RECOVERY, |world| {
        let finals = world.finals();
        finals.first().map_or(Ok(()), |one| wishes_granted::check(&one.state))?;
        one_session::check(&finals)
    });
    let served = served.await;
    books.findings.check(wishes_granted::NAME, served);
    world.settle();
    books.trace.end();
}

/// Until it holds, or the time is over: then why it does not.
async fn wait_for(world: &mut World, within: Duration, holds: impl Fn(&World) -> Holds) -> Holds {
    let deadline = Instant::now() + within;
    loop {
        let now = holds(world);
        if now.is_ok() || Instant::now() >= deadline {
            return now;
        }
        world.go_on(Instant::now() + PAUSE).await;
    }
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
            let skew = gate.skew.clone();
            let done = match errand {
                Errand::Place => skew.applied(books.command(who, gate, placement(1), within)).await,
                Errand::Chat => skew.applied(books.chat(who, gate, 3, within)).await,
            };
            match done {
                Ok(()) => return Ok(stopped.elapsed()),
                Err(word) => last_word = word,
            }
        }
        sleep(PAUSE).await;
    }
}
