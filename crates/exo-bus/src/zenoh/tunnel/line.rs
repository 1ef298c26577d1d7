//! What the driver has of a link, and the link of the driver.

use super::calls::{Clerk, Message};
use super::hello::Place;
use super::pulse::Pulse;
use super::table::LinkId;
use exo_types::NodeId;
use tokio::sync::{mpsc, watch};

/// Words that wait.
const WORDS: usize = 64;

/// What the driver tells a link.
#[derive(Debug)]
pub(super) enum Word {
    /// To be told to the peer.
    Peers(Vec<Place>),
    /// The peer may be lost: something has to be said to it now.
    Ask,
    /// The end.
    Bye(String),
}

/// The driver's end.
pub(super) struct Line {
    words: mpsc::Sender<Word>,
    pulse: watch::Sender<Pulse>,
}

/// The link's end, a place among the links; given up when it is dropped.
pub(super) struct Established {
    pub link: LinkId,
    /// The peer's.
    pub node: NodeId,
    pub words: mpsc::Receiver<Word>,
    pub pulse: watch::Receiver<Pulse>,
    /// Takes questions and answers that come.
    pub clerk: Clerk,
    /// Questions and answers that leave.
    pub calls: mpsc::Receiver<Message>,
}

/// Both ends.
pub(super) fn line(
    link: LinkId,
    node: NodeId,
    pulse: Pulse,
    (clerk, calls): (Clerk, mpsc::Receiver<Message>),
) -> (Line, Established) {
    let (says, words) = mpsc::channel(WORDS);
    let (sets, pulse) = watch::channel(pulse);
    (Line { words: says, pulse: sets }, Established { link, node, words, pulse, clerk, calls })
}

impl Line {
    /// Never waits. What is too much is left out: places are told by others, and a link that is too busy to hear that it
    /// has to end does so without a word.
    pub fn tell(&self, word: Word) {
        let _lost = self.words.try_send(word);
    }

    /// Wakes the link only if that is another one.
    pub fn set_pulse(&self, pulse: Pulse) {
        self.pulse.send_if_modified(|current| std::mem::replace(current, pulse) != pulse);
    }

    /// However it did.
    pub fn has_ended(&self) -> bool {
        self.words.is_closed()
    }
}
