//! When to speak, and when to ask for votes. Decides; the keeper acts. Time and dice are handed in.

use crate::dice::Dice;
use std::time::Duration;
use tokio::time::Instant;

/// Between the attempts of two members that lost the same leader: the first should have won by then.
const RANK_STEP: Duration = Duration::from_millis(40);

/// An election that was asked for has its time before the next one is.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(600), Duration::from_millis(1200));

/// After a refusal: most others still hear the leader.
const LATER: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(1));

/// After a refusal, when the leader is known to be gone: others are about to notice it too.
const SOON: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(100));

/// What is committed is told after that time if no records went out meanwhile that say so.
const AFTERWARDS: Duration = Duration::from_millis(20);

/// What a leader said before its connections ended is taken in so long afterwards, a slow disk allowed for.
const ECHO: Duration = Duration::from_millis(300);

/// What the member has to do with the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// It leads.
    Lead,
    /// It votes and does not lead.
    Follow {
        /// Nobody else votes.
        alone: bool,
    },
    /// It has no voice.
    Learn,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Tell the others that it leads.
    Heartbeat,
    /// Ask whether it should lead, and campaign if a majority says so.
    AskForVotes,
}

/// A leader whose connections ended.
#[derive(Debug, Clone, Copy)]
struct Gone {
    since: Instant,
    term: u64,
}

/// The timing of one member.
#[derive(Debug)]
pub(crate) struct Pacemaker {
    heartbeat: Duration,
    election: (Duration, Duration),
    dice: Dice,
    duty: Duty,
    /// When this one last said that it leads, or began to.
    spoke: Instant,
    /// When the leader was last heard, or this began.
    heard: Instant,
    /// The leader's connections ended, and it was not heard since.
    gone: Option<Gone>,
    due: Option<Instant>,
}

impl Pacemaker {
    pub(crate) fn new(now: Instant, heartbeat: Duration, election: (Duration, Duration), dice: Dice) -> Self {
        Self { heartbeat, election, dice, duty: Duty::Learn, spoke: now, heard: now, gone: None, due: None }
    }

    /// When [`Pacemaker::poll`] has something to say.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) fn on_duty(&mut self, now: Instant, duty: Duty) {
        if duty == self.duty {
            return;
        }
        self.duty = duty;
        self.gone = self.gone.filter(|_| duty != Duty::Lead);
        self.due = match duty {
            Duty::Lead => Some(self.next_heartbeat(now)),
            Duty::Follow { alone: true } => Some(now),
            Duty::Follow { alone: false } => Some(now + self.between(self.election)),
            Duty::Learn => None,
        };
    }

    /// The leader of `term` said something. What a leader that is gone had said before it went does not bring it back.
    pub(crate) fn on_heard(&mut self, now: Instant, term: u64) {
        if self.gone.is_some_and(|gone| term <= gone.term && now < gone.since + ECHO) {
            return;
        }
        self.heard = now;
        self.gone = None;
        if self.duty == (Duty::Follow { alone: false }) {
            self.due = Some(now + self.between(self.election));
        }
    }

    /// The connections of the leader of `term` ended. `rank`: how many others should try before.
    pub(crate) fn on_gone(&mut self, now: Instant, term: u64, rank: u32) {
        let follows = matches!(self.duty, Duty::Follow { .. });
        if follows && self.gone.is_none() {
            self.gone = Some(Gone { since: now, term });
            let turn = now + RANK_STEP * rank;
            self.due = Some(self.due.map_or(turn, |due| due.min(turn)));
        }
    }

    /// Another one has its vote, and time to win: two that campaign at once keep each other from leading.
    pub(crate) fn on_voted(&mut self, now: Instant) {
        if matches!(self.duty, Duty::Follow { .. }) {
            let patient = now + self.between(PATIENCE);
            self.due = Some(self.due.map_or(patient, |due| due.max(patient)));
        }
    }

    /// A member did not answer what was said to it, and may miss the leader soon: the others hear it once more as well.
    pub(crate) fn on_unanswered(&mut self, now: Instant) {
        if self.duty == Duty::Lead {
            let sooner = now.max(self.spoke + self.heartbeat / 2);
            self.due = self.due.map(|due| due.min(sooner));
        }
    }

    /// A member was not told what is committed, because it was told something else just now.
    pub(crate) fn on_untold(&mut self, now: Instant) {
        if self.duty == Duty::Lead {
            self.due = self.due.map(|due| due.min(now + AFTERWARDS));
        }
    }

    /// No majority wants it to lead now.
    pub(crate) fn on_refused(&mut self, now: Instant) {
        if matches!(self.duty, Duty::Follow { .. }) {
            let pause = if self.gone.is_some() { SOON } else { LATER };
            self.due = Some(now + self.between(pause));
        }
    }

    pub(crate) fn poll(&mut self, now: Instant) -> Option<Beat> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        match self.duty {
            Duty::Lead => {
                self.due = Some(self.next_heartbeat(now));
                Some(Beat::Heartbeat)
            }
            Duty::Follow { .. } => {
                self.due = Some(now + self.between(PATIENCE));
                Some(Beat::AskForVotes)
            }
            Duty::Learn => None,
        }
    }

    /// Whether another one should lead, as far as this one knows: it misses the leader too.
    pub(crate) fn misses_leader(&self, now: Instant) -> bool {
        self.duty != Duty::Lead && (self.gone.is_some() || now >= self.heard + self.election.0)
    }

    fn next_heartbeat(&mut self, now: Instant) -> Instant {
        self.spoke = now;
        now + self.heartbeat
    }

    fn between(&mut self, (least, most): (Duration, Duration)) -> Duration {
        let span = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(u64::MAX);
        least + Duration::from_micros(self.dice.below(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_millis(500);
    const ELECTION: (Duration, Duration) = (Duration::from_millis(1500), Duration::from_secs(3));
    const FOLLOW: Duty = Duty::Follow { alone: false };

    fn pacemaker(duty: Duty) -> (Instant, Pacemaker) {
        let now = Instant::now();
        let mut pacemaker = Pacemaker::new(now, HEARTBEAT, ELECTION, Dice::new(7));
        pacemaker.on_duty(now, duty);
        (now, pacemaker)
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_asks_only_after_a_silence() {
        let (now, mut pacemaker) = pacemaker(FOLLOW);
        for beat in 1..100 {
            let now = now + HEARTBEAT * beat;
            pacemaker.on_heard(now, 1);
            assert_eq!(pacemaker.poll(now + HEARTBEAT), None);
            assert!(!pacemaker.misses_leader(now + HEARTBEAT));
        }
        let silent = now + HEARTBEAT * 99;
        assert_eq!(pacemaker.poll(silent + ELECTION.0 - HEARTBEAT), None);
        assert_eq!(pacemaker.poll(silent + ELECTION.1), Some(Beat::AskForVotes));
        assert!(pacemaker.misses_leader(silent + ELECTION.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_whose_leader_is_gone_asks_when_it_is_its_turn() {
        for rank in 0..3 {
            let (now, mut pacemaker) = pacemaker(FOLLOW);
            pacemaker.on_gone(now, 1, rank);
            assert!(pacemaker.misses_leader(now));
            assert_eq!(pacemaker.due(), Some(now + RANK_STEP * rank));
            assert_eq!(pacemaker.poll(now + RANK_STEP * rank), Some(Beat::AskForVotes));
            pacemaker.on_refused(now + RANK_STEP * rank);
            assert!(pacemaker.due() < Some(now + RANK_STEP * rank + SOON.1));
            pacemaker.on_heard(now + RANK_STEP, 2);
            assert!(!pacemaker.misses_leader(now + RANK_STEP));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_gave_its_vote_waits_until_the_candidate_had_its_time() {
        let (now, mut pacemaker) = pacemaker(FOLLOW);
        pacemaker.on_gone(now, 1, 1);
        pacemaker.on_voted(now);
        assert_eq!(pacemaker.poll(now + RANK_STEP), None);
        assert_eq!(pacemaker.poll(now + PATIENCE.0 - RANK_STEP), None);
        assert_eq!(pacemaker.poll(now + PATIENCE.1), Some(Beat::AskForVotes));
    }

    #[tokio::test(start_paused = true)]
    async fn an_echo_does_not_bring_a_leader_back_and_its_return_does() {
        let (now, mut pacemaker) = pacemaker(FOLLOW);
        pacemaker.on_gone(now, 1, 2);
        pacemaker.on_heard(now + RANK_STEP, 1);
        assert!(pacemaker.misses_leader(now + RANK_STEP));
        assert_eq!(pacemaker.due(), Some(now + RANK_STEP * 2));
        pacemaker.on_heard(now + HEARTBEAT, 1);
        assert!(!pacemaker.misses_leader(now + HEARTBEAT));
    }

    #[tokio::test(start_paused = true)]
    async fn the_only_voter_does_not_wait_and_a_learner_never_asks() {
        let (now, mut pacemaker) = pacemaker(Duty::Follow { alone: true });
        assert_eq!(pacemaker.poll(now), Some(Beat::AskForVotes));
        let (now, mut learner) = self::pacemaker(Duty::Learn);
        learner.on_gone(now, 1, 0);
        assert_eq!((learner.due(), learner.poll(now + ELECTION.1 * 9)), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_speaks_at_every_heartbeat_and_misses_nobody() {
        let (now, mut pacemaker) = pacemaker(Duty::Lead);
        for beat in 1..10 {
            assert_eq!(pacemaker.poll(now + HEARTBEAT * beat - Duration::from_millis(1)), None);
            assert_eq!(pacemaker.poll(now + HEARTBEAT * beat), Some(Beat::Heartbeat));
        }
        assert!(!pacemaker.misses_leader(now + ELECTION.1 * 9));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_tells_what_is_committed_afterwards_however_often_it_is_put_off() {
        let (now, mut pacemaker) = pacemaker(Duty::Lead);
        for later in 0..15 {
            pacemaker.on_untold(now + Duration::from_millis(later));
        }
        let told = now + AFTERWARDS;
        assert_eq!(pacemaker.poll(told - Duration::from_millis(1)), None);
        assert_eq!(pacemaker.poll(told), Some(Beat::Heartbeat));
        assert_eq!(pacemaker.due(), Some(told + HEARTBEAT));
        let (now, mut follower) = self::pacemaker(FOLLOW);
        let due = follower.due();
        follower.on_untold(now);
        assert_eq!(follower.due(), due);
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_is_not_answered_speaks_again_sooner_and_not_at_once() {
        let (now, mut pacemaker) = pacemaker(Duty::Lead);
        for _ in 0..3 {
            pacemaker.on_unanswered(now);
            assert_eq!(pacemaker.due(), Some(now + HEARTBEAT / 2));
        }
        let beat = now + HEARTBEAT / 2;
        assert_eq!(pacemaker.poll(beat), Some(Beat::Heartbeat));
        assert_eq!(pacemaker.due(), Some(beat + HEARTBEAT));
        let late = beat + HEARTBEAT * 3 / 4;
        pacemaker.on_unanswered(late);
        assert_eq!(pacemaker.poll(late), Some(Beat::Heartbeat));
        let (now, mut follower) = self::pacemaker(FOLLOW);
        let due = follower.due();
        follower.on_unanswered(now);
        assert_eq!(follower.due(), due);
    }
}
