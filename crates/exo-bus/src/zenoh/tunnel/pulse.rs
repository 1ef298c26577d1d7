//! When a link that has nothing to carry says so, and when its silence means that the peer hangs.
//!
//! A beat is a frame of data without data. What else is sent counts as one, and a beat is answered by a beat, so that it
//! carries the acknowledgement of the other: three packets for two beats, of which headers are most. What is said has to
//! be acknowledged by the other machine within [`UNANSWERED`](super::UNANSWERED).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Who has spoken within this time answers no beat, which may be the answer to its own; and who has beaten within it has
/// asked already.
pub(super) const LATELY: Duration = Duration::from_millis(500);
/// A beat that is not answered within this time makes doubt of the whole node: its other links are asked, so that what is
/// lost with them shows at most that much later. A busy process may take longer; it costs a few packets.
pub(super) const DOUBT: Duration = Duration::from_millis(350);
/// A process that says nothing for so long after its beat was due hangs, though its machine answers: its links are given
/// up. Long, since a busy machine keeps its processes waiting.
const OVERDUE: Duration = Duration::from_secs(5);

/// After how much silence of its own one end of a link says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pulse {
    beat: Duration,
}

impl Pulse {
    /// The leading master, on its links to other masters: both miss each other within two seconds.
    pub const LEADER_TO_MASTER: Self = Self::every(1100);
    /// Other masters, to the leading one. Sooner than that one by more than a way there and back: of the three packets the
    /// leader, which has most of these links, sends one.
    pub const MASTER_TO_LEADER: Self = Self::every(1050);
    /// The leading master, on its other links: so that it can mark a node within three seconds that has no master.
    pub const LEADER_TO_OTHER: Self = Self::every(1400);
    /// The other side of these.
    pub const OTHER_TO_LEADER: Self = Self::every(1350);
    /// While nobody leads, links of masters: they have to find each other and miss each other.
    pub const OF_MASTERS: Self = Self::every(1100);
    /// While nobody leads, all other links; and always those by which an answer comes.
    pub const OF_OTHERS: Self = Self::every(2100);
    /// While a master leads, links of others: whom these miss it has told of.
    pub const RESTING: Self = Self::every(30_000);

    const fn every(milliseconds: u64) -> Self {
        Self { beat: Duration::from_millis(milliseconds) }
    }

    /// How long the peer may say nothing: so long after it was spoken to it has answered.
    pub fn patience(self) -> Duration {
        self.beat + OVERDUE
    }

    /// Returns when a beat is due: after a silence, or as the answer to the peer's if this side did not speak lately.
    /// Cancelling it loses nothing.
    pub async fn due(self, spoke: Instant, ear: &Ear) -> Due {
        let to_be_answered = async {
            loop {
                ear.beat.notified().await;
                if spoke.elapsed() >= LATELY {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = sleep_until(spoke + self.beat) => Due::Silence,
            () = to_be_answered => Due::Answer,
        }
    }
}

/// Why something is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing was for long. It will be answered.
    Silence,
    /// The peer has asked. Its answer ends the exchange.
    Answer,
}

/// What the end that listens tells the one that speaks.
#[derive(Debug)]
pub(super) struct Ear {
    beat: Notify,
    last: Mutex<Instant>,
}

impl Ear {
    pub fn new(now: Instant) -> Self {
        Self { beat: Notify::new(), last: Mutex::new(now) }
    }

    /// The peer said something.
    pub fn on_heard(&self, now: Instant) {
        *self.last() = now;
    }

    /// The peer said something to be answered, or answers.
    pub fn on_beat(&self) {
        self.beat.notify_one();
    }

    /// Whether the peer has said anything since.
    pub fn has_heard_since(&self, since: Instant) -> bool {
        *self.last() >= since
    }

    fn last(&self) -> MutexGuard<'_, Instant> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::UNANSWERED;
    use super::*;

    const BETWEEN_MASTERS: [Pulse; 3] = [Pulse::LEADER_TO_MASTER, Pulse::MASTER_TO_LEADER, Pulse::OF_MASTERS];
    const OTHERS: [Pulse; 4] = [Pulse::LEADER_TO_OTHER, Pulse::OTHER_TO_LEADER, Pulse::OF_OTHERS, Pulse::RESTING];

    #[test]
    fn a_lost_machine_is_noticed_long_before_a_busy_process_is_given_up() {
        for pulse in BETWEEN_MASTERS {
            assert!(
                pulse.beat + UNANSWERED <= Duration::from_secs(2),
                "a master by the leader, and the leader by masters"
            );
        }
        let leader_misses = Pulse::LEADER_TO_OTHER.beat + UNANSWERED;
        assert!(leader_misses <= Duration::from_millis(2300), "a node without a master");
        let missed_with_the_leader = Pulse::MASTER_TO_LEADER.beat + DOUBT + UNANSWERED;
        assert!(missed_with_the_leader <= Duration::from_millis(2300), "what else was on the leader's machine");
        assert!(Pulse::OF_OTHERS.beat + UNANSWERED <= Duration::from_secs(3), "by who awaits an answer");
        for pulse in BETWEEN_MASTERS.into_iter().chain(OTHERS) {
            assert!(pulse.patience() - pulse.beat >= Duration::from_secs(5), "a busy process");
        }
    }

    #[test]
    fn the_leader_is_asked_before_it_asks_and_who_is_in_doubt_asks_once() {
        let way_and_back = Duration::from_millis(50);
        assert!(Pulse::MASTER_TO_LEADER.beat + way_and_back <= Pulse::LEADER_TO_MASTER.beat);
        assert!(Pulse::OTHER_TO_LEADER.beat + way_and_back <= Pulse::LEADER_TO_OTHER.beat);
        assert!(DOUBT < LATELY && LATELY < Pulse::MASTER_TO_LEADER.beat);
    }

    #[tokio::test(start_paused = true)]
    async fn a_beat_is_answered_and_its_answer_is_not() {
        for pulse in BETWEEN_MASTERS.into_iter().chain(OTHERS) {
            let ear = Ear::new(Instant::now());
            let begin = Instant::now();
            ear.on_beat();
            assert_eq!(pulse.due(begin, &ear).await, Due::Silence, "who has just spoken does not answer");
            assert_eq!(begin.elapsed(), pulse.beat);
            let spoke = Instant::now() - LATELY;
            ear.on_beat();
            assert_eq!(pulse.due(spoke, &ear).await, Due::Answer, "who has not answers at once");
            assert_eq!(begin.elapsed(), pulse.beat);
        }
    }
}
