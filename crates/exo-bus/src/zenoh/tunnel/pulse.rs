//! When a link that has nothing to carry says so, and when its silence means that the peer hangs.
//!
//! A beat is a frame of data without data. What else is sent counts as one, and a beat is answered by a beat, so that it
//! carries the acknowledgement of the other: three packets for two beats, of which headers are most.

use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Silence after which one side of a link to or from a master says something. Masters tell everybody who is gone, and
/// miss each other. A little longer than a second, in which the leader of the log says something anyway. What is said
/// has to be acknowledged by the other machine within [`UNANSWERED`](super::UNANSWERED).
const OF_MASTERS: Duration = Duration::from_millis(1100);
/// On links without a master at either end: whom these miss the masters have told of already.
const OF_OTHERS: Duration = Duration::from_millis(2100);
/// A process that says nothing for so long after its beat was due hangs, though its machine answers: its links are given
/// up. Long, since a busy machine keeps its processes waiting.
const OVERDUE: Duration = Duration::from_secs(5);

/// How often something is said on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pulse {
    beat: Duration,
}

impl Pulse {
    /// Of a link, by whether a process at either end has a master.
    pub fn of_link(has_master: bool) -> Self {
        Self { beat: if has_master { OF_MASTERS } else { OF_OTHERS } }
    }

    /// How long the peer may say nothing.
    pub fn patience(self) -> Duration {
        self.beat + OVERDUE
    }

    /// Returns when a beat is due: after a silence, or as the answer to the peer's if this side did not speak lately.
    /// The answer to its own beat is none to answer. Cancelling it loses nothing.
    pub async fn due(self, spoke: Instant, heard_beat: &Notify) {
        let to_be_answered = async {
            loop {
                heard_beat.notified().await;
                if spoke.elapsed() >= self.beat / 2 {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = sleep_until(spoke + self.beat) => {}
            () = to_be_answered => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::UNANSWERED;
    use super::*;

    #[test]
    fn a_lost_machine_is_noticed_long_before_a_busy_process_is_given_up() {
        assert!(OF_MASTERS + UNANSWERED <= Duration::from_secs(2), "a lost machine, by a master");
        assert!(OF_OTHERS + UNANSWERED <= Duration::from_secs(3), "and by everybody");
        for has_master in [true, false] {
            let pulse = Pulse::of_link(has_master);
            assert!(pulse.patience() - pulse.beat >= Duration::from_secs(5), "a busy process");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_beat_is_answered_and_its_answer_is_not() {
        for has_master in [true, false] {
            let (pulse, heard) = (Pulse::of_link(has_master), Notify::new());
            let begin = Instant::now();
            heard.notify_one();
            pulse.due(begin, &heard).await;
            assert_eq!(begin.elapsed(), pulse.beat, "who has just spoken does not answer");
            heard.notify_one();
            pulse.due(begin, &heard).await;
            assert_eq!(begin.elapsed(), pulse.beat, "who has not answers at once");
        }
    }
}
