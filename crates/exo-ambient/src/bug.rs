//! Known bugs that a simulation can put back, one at a time, to show that it finds them.

/// A bug. Its place in the code asks [`planted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// The log acknowledges what is not on the disk yet.
    AckBeforeFsync,
    /// A vote is not written down: a restarted master votes again in the same term.
    ForgetVote,
    /// Messages of a leader of the past are taken for those of the present one.
    NoTermCheck,
    /// Events are folded as they come, not in the order of their indices.
    ApplyOutOfOrder,
    /// What is missing is never asked for.
    DropGapRequest,
    /// Requests go to instances whose runners are not ready.
    RouteToDeadRunner,
    /// A repeated command is carried out again.
    ForgetAnswers,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::AckBeforeFsync,
        Self::ForgetVote,
        Self::NoTermCheck,
        Self::ApplyOutOfOrder,
        Self::DropGapRequest,
        Self::RouteToDeadRunner,
        Self::ForgetAnswers,
    ];

    /// In a few words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::AckBeforeFsync => "acknowledge before fsync",
            Self::ForgetVote => "forget the vote",
            Self::NoTermCheck => "no check of the term",
            Self::ApplyOutOfOrder => "apply out of order",
            Self::DropGapRequest => "drop a gap request",
            Self::RouteToDeadRunner => "route to a dead runner",
            Self::ForgetAnswers => "carry a repeated command out again",
        }
    }
}

#[cfg(feature = "planted-bugs")]
mod switch {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Puts a bug back on this thread, or takes it out.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// Whether this bug was put back on this thread.
    pub fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "planted-bugs")]
pub use switch::{plant, planted};

/// Whether this bug was put back. It cannot be: the feature `planted-bugs` is off.
#[cfg(not(feature = "planted-bugs"))]
pub const fn planted(_bug: Bug) -> bool {
    false
}
