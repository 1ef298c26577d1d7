//! What was refused, counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// How often what happened since the log was opened.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct LogCounters {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The same, while it goes on.
        #[derive(Debug, Default)]
        pub(crate) struct Counting {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Counting {
            pub(crate) fn read(&self) -> LogCounters {
                LogCounters { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Messages that are none, or that contradict themselves.
    garbage,
    /// Messages of peers that speak another version.
    other_version,
    /// Messages of another session.
    other_session,
    /// Messages to another life of this log.
    wrong_addressee,
    /// Messages of peers that claim to be somebody else.
    foreign_id,
    /// Messages that came while too many others were being answered.
    busy,
    /// Messages that came before this log knew its session, or while it is stopped.
    not_ready,
    /// Wishes of a leader that this log leads, while it is about to leave itself or lacks records.
    declined,
    /// Appends that met another State than the one that they were decided on.
    void_appends,
    /// Rounds of the disk that wrote appends.
    groups,
    /// Events applied.
    events,
    /// Snapshots made.
    snapshots,
    /// Snapshots taken over from the leader.
    snapshots_installed,
    /// Elections that this member asked for.
    elections,
    /// Bytes of the records that were written, each copy of the log for itself.
    record_bytes,
    /// Bytes that were written to the log file for everything: records, votes, snapshots, and what the file needs.
    file_bytes,
    /// Times that the disk failed and the log was opened again.
    reopened,
}

impl LogCounters {
    /// What was refused of peers, by reason; only what happened.
    pub fn refused(&self) -> BTreeMap<&'static str, u64> {
        let reasons = [
            ("garbage", self.garbage),
            ("other_version", self.other_version),
            ("other_session", self.other_session),
            ("wrong_addressee", self.wrong_addressee),
            ("foreign_id", self.foreign_id),
            ("flood", self.busy),
            ("not_ready", self.not_ready),
        ];
        reasons.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
