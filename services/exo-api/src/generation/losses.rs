//! How often an answer may lose its runner, and what the client is told when it was too often. Pure.

use exo_types::{ErrorChunk, ErrorCode};
use tokio::time::{Duration, Instant};

/// So many losses without a token in between end an answer: perhaps the request itself ends its runners.
const MOST: u32 = 3;

/// An instance that is gone is placed anew by the same decision, or not soon.
const GONE: Duration = Duration::from_millis(1500);

/// What went wrong with an answer since its last token.
#[derive(Debug, Default)]
pub(super) struct Losses {
    in_a_row: u32,
    last: Option<ErrorChunk>,
    /// Since when no runner can come back.
    gone_since: Option<Instant>,
}

/// Whether an answer that ends so ends because of its runner, not of itself: then it goes on with another. A runner
/// that was taken away is no longer ready.
pub(super) fn is_loss(code: ErrorCode) -> bool {
    use ErrorCode::{NotReady, PeerLost, RunnerHung, RunnerLost, ShuttingDown};
    matches!(code, NotReady | RunnerLost | RunnerHung | PeerLost | ShuttingDown)
}

impl Losses {
    /// The answer has grown.
    pub(super) fn on_token(&mut self) {
        *self = Self::default();
    }

    /// The runner was lost. `Err` is the end of the answer.
    pub(super) fn on_loss(&mut self, loss: ErrorChunk) -> Result<(), ErrorChunk> {
        self.in_a_row += 1;
        (self.last, self.gone_since) = (Some(loss.clone()), None);
        if self.in_a_row < MOST { Ok(()) } else { Err(self.told(loss)) }
    }

    /// Whether a runner was lost since the last token.
    pub(super) fn any(&self) -> bool {
        self.in_a_row > 0
    }

    /// Nobody takes the request at `now`. `Err` is the end of the answer: there is nothing left to wait for.
    pub(super) fn on_wait(&mut self, now: Instant, can_come_back: bool) -> Result<(), ErrorChunk> {
        if can_come_back {
            self.gone_since = None;
            return Ok(());
        }
        let since = *self.gone_since.get_or_insert(now);
        match self.last.clone() {
            Some(loss) if now.saturating_duration_since(since) >= GONE => Err(self.told(loss)),
            _ => Ok(()),
        }
    }

    fn told(&self, loss: ErrorChunk) -> ErrorChunk {
        match self.in_a_row {
            ..=1 => loss,
            times => ErrorChunk { message: format!("{} (loss {times} in a row)", loss.message), ..loss },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss() -> ErrorChunk {
        ErrorChunk { code: ErrorCode::RunnerLost, message: "the runner ended".to_owned() }
    }

    #[test]
    fn the_third_loss_in_a_row_ends_the_answer() {
        let mut losses = Losses::default();
        assert!(losses.on_loss(loss()).is_ok());
        assert!(losses.on_loss(loss()).is_ok());
        let told = losses.on_loss(loss()).expect_err("too often");
        assert_eq!((told.code, told.message.contains("loss 3")), (ErrorCode::RunnerLost, true));
    }

    #[test]
    fn a_token_in_between_forgives_what_was() {
        let mut losses = Losses::default();
        for _ in 0..10 {
            assert!(losses.on_loss(loss()).is_ok());
            assert!(losses.any());
            losses.on_token();
            assert!(!losses.any());
        }
    }

    #[test]
    fn an_instance_that_stays_gone_ends_the_answer() {
        let (mut losses, start) = (Losses::default(), Instant::now());
        assert!(losses.on_loss(loss()).is_ok());
        assert!(losses.on_wait(start, false).is_ok());
        assert!(losses.on_wait(start + GONE, true).is_ok(), "placed anew");
        assert!(losses.on_wait(start + GONE, false).is_ok());
        assert_eq!(losses.on_wait(start + 2 * GONE, false), Err(loss()));
    }

    #[test]
    fn only_what_the_runner_does_is_a_loss() {
        for code in [ErrorCode::RunnerLost, ErrorCode::RunnerHung, ErrorCode::PeerLost, ErrorCode::ShuttingDown] {
            assert!(is_loss(code), "{code:?}");
        }
        for code in [ErrorCode::InvalidRequest, ErrorCode::DeadlineExceeded, ErrorCode::Internal, ErrorCode::Overloaded]
        {
            assert!(!is_loss(code), "{code:?}");
        }
    }
}
