//! Ranks that do something together: every one has a link to every other.
//!
//! All operations are direct: what a rank needs of another comes from it in one hop. A ring sends as many bytes in as
//! many hops as there are ranks. Nobody waits with a frame in hand: all links are driven until all frames have left and
//! arrived, so that the order in which ranks come and go is of no matter, and cannot end in a circle of waits.
//!
//! Sums are taken in the order of the ranks, 0 first, whoever comes first: their bits do not depend on timing, nor on
//! how the sum is shared out.

use crate::error::LinkError;
use crate::group_error::GroupError;
use crate::tensor_link::TensorLink;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::ops::Range;
use std::time::{Duration, Instant};

/// Sums of so many values are taken by every rank for itself: one hop instead of two.
const SMALL: usize = 16 << 10;

/// Longest spin before sleeping: about three loopback round trips, and less than two wake-ups cost.
const SPIN_MOST: Duration = Duration::from_micros(50);
/// Shortest spin: about two system calls.
const SPIN_LEAST: Duration = Duration::from_micros(2);

/// This rank's end of a group. Every rank calls the same operations with the same sizes in the same order.
pub struct Group<L> {
    rank: usize,
    peers: Vec<Peer<L>>,
    /// Most values in a frame, over any link.
    max_values: usize,
    /// Number of the operation.
    operation: u64,
    metadata: Vec<u8>,
    arrived: Vec<f32>,
    /// What others bring to a sum, rank after rank.
    addends: Vec<f32>,
    spin: Duration,
}

struct Peer<L> {
    rank: usize,
    link: L,
    /// Values that it still has to bring to this operation; none if it brought them.
    awaited: Option<usize>,
    has_left: bool,
}

impl<L: TensorLink> Group<L> {
    /// The group of this rank and those that the links go to. `links` are by rank, in order, without this one's own.
    pub fn new(rank: usize, links: Vec<L>) -> Self {
        let max_values = links.iter().map(L::max_values).min().unwrap_or(usize::MAX).max(1);
        let peers = links.into_iter().enumerate().map(|(place, link)| {
            let rank = if place < rank { place } else { place + 1 };
            Peer { rank, link, awaited: None, has_left: true }
        });
        let (metadata, arrived, addends) = (Vec::new(), Vec::new(), Vec::new());
        Self { rank, peers: peers.collect(), max_values, operation: 0, metadata, arrived, addends, spin: SPIN_MOST }
    }

    /// This rank.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Ranks in all.
    pub fn size(&self) -> usize {
        self.peers.len() + 1
    }

    /// Brings the parts of all ranks to all ranks. `whole` consists of them in the order of the ranks, `parts` are their
    /// lengths; this rank's own is there already, the others are filled.
    pub fn all_gather(&mut self, parts: &[usize], whole: &mut [f32], deadline: Instant) -> Result<(), GroupError> {
        self.check(parts, whole)?;
        let own = range(parts, self.rank);
        self.in_pieces(parts, |group, piece| {
            let mine = &whole[cut(own.clone(), piece)];
            group.begin(|_| Some(mine), |rank| Some(cut(range(parts, rank), piece).len()))?;
            group.finish(deadline, |rank, values| whole[cut(range(parts, rank), piece)].copy_from_slice(values))
        })
    }

    /// Brings the parts of all ranks to rank `root`; to the others nothing comes.
    pub fn gather(
        &mut self,
        root: usize,
        parts: &[usize],
        whole: &mut [f32],
        deadline: Instant,
    ) -> Result<(), GroupError> {
        self.check(parts, whole)?;
        let (own, is_root) = (range(parts, self.rank), self.rank == root);
        self.in_pieces(parts, |group, piece| {
            let mine = &whole[cut(own.clone(), piece)];
            group.begin(
                |rank| (rank == root).then_some(mine),
                |rank| is_root.then(|| cut(range(parts, rank), piece).len()),
            )?;
            group.finish(deadline, |rank, values| whole[cut(range(parts, rank), piece)].copy_from_slice(values))
        })
    }

    /// Adds up the values of all ranks, in the order of the ranks; every rank gets the same bits.
    pub fn all_reduce(&mut self, values: &mut [f32], deadline: Instant) -> Result<(), GroupError> {
        let (size, rank) = (self.size(), self.rank);
        if values.len() <= SMALL.min(self.max_values) {
            return self.sum(|_| 0..usize::MAX, 0..values.len(), values, deadline);
        }
        // Every rank takes the sum of its share, and then the shares go round.
        let share = values.len().div_ceil(size);
        let of_rank = |rank: usize| (rank * share).min(values.len())..((rank + 1) * share).min(values.len());
        let shares: Vec<Range<usize>> = (0..size).map(of_rank).collect();
        let parts: Vec<usize> = shares.iter().map(Range::len).collect();
        for start in (0..share).step_by(self.max_values) {
            let piece = start..start + self.max_values;
            let of_peer = |rank: usize| cut(shares[rank].clone(), &piece);
            self.sum(of_peer, of_peer(rank), values, deadline)?;
        }
        self.all_gather(&parts, values, deadline)
    }

    /// Sends every rank its range of `values`, and replaces those of `own` by the sum over all ranks.
    fn sum(
        &mut self,
        of_peer: impl Fn(usize) -> Range<usize>,
        own: Range<usize>,
        values: &mut [f32],
        deadline: Instant,
    ) -> Result<(), GroupError> {
        let width = own.len();
        let mut addends = std::mem::take(&mut self.addends);
        addends.clear();
        addends.resize(width * self.size(), 0.0);
        addends[self.rank * width..][..width].copy_from_slice(&values[own.clone()]);
        let end = values.len();
        let sent = |rank| {
            let range = of_peer(rank);
            Some(&values[range.start.min(end)..range.end.min(end)])
        };
        let summed = self.begin(sent, |_| Some(width)).and_then(|()| {
            self.finish(deadline, |rank, values| addends[rank * width..][..width].copy_from_slice(values))
        });
        let sums = &mut values[own];
        let mut by_rank = addends.chunks_exact(width.max(1));
        if let Some(first) = by_rank.next() {
            sums.copy_from_slice(first);
        }
        for addend in by_rank {
            sums.iter_mut().zip(addend).for_each(|(sum, value)| *sum += value);
        }
        self.addends = addends;
        summed
    }

    fn check(&self, parts: &[usize], whole: &[f32]) -> Result<(), GroupError> {
        let sum = parts.iter().sum();
        if parts.len() == self.size() && sum == whole.len() {
            return Ok(());
        }
        Err(GroupError::Parts { ranks: self.size(), parts: sum, whole: whole.len() })
    }

    /// Does `work` for every piece of the parts that fits a frame.
    fn in_pieces(
        &mut self,
        parts: &[usize],
        mut work: impl FnMut(&mut Self, &Range<usize>) -> Result<(), GroupError>,
    ) -> Result<(), GroupError> {
        let longest = parts.iter().copied().max().unwrap_or(0);
        let step = self.max_values;
        (0..longest).step_by(step).try_for_each(|start| work(self, &(start..start + step)))
    }

    /// Begins an operation: posts to every rank what it gets, and notes what it brings.
    fn begin<'a>(
        &mut self,
        sent: impl Fn(usize) -> Option<&'a [f32]>,
        brought: impl Fn(usize) -> Option<usize>,
    ) -> Result<(), GroupError> {
        self.operation += 1;
        let tag = self.operation.to_le_bytes();
        for peer in &mut self.peers {
            let rank = peer.rank;
            peer.awaited = brought(rank);
            if let Some(values) = sent(rank) {
                peer.link.post(&tag, values).map_err(|error| GroupError::Link { rank, error })?;
                peer.has_left = false;
            }
        }
        Ok(())
    }

    /// Drives all links until everything has left and arrived, or the deadline passes.
    fn finish(&mut self, deadline: Instant, mut land: impl FnMut(usize, &[f32])) -> Result<(), GroupError> {
        let mut still_since = None;
        let mut slept = false;
        loop {
            let mut has_moved = false;
            for place in 0..self.peers.len() {
                has_moved |= self.drive(place, &mut land)?;
            }
            if self.peers.iter().all(Peer::is_done) {
                if still_since.is_some() && !slept {
                    self.spin = (self.spin * 2).min(SPIN_MOST);
                }
                return Ok(());
            }
            if has_moved {
                continue;
            }
            let now = Instant::now();
            if now >= deadline {
                let late = self.peers.iter().filter(|peer| !peer.is_done());
                return Err(GroupError::Late { ranks: late.map(|peer| peer.rank).collect() });
            }
            if now - *still_since.get_or_insert(now) < self.spin {
                std::hint::spin_loop();
            } else {
                self.spin = (self.spin / 2).max(SPIN_LEAST);
                self.sleep(deadline - now)?;
                slept = true;
            }
        }
    }

    /// Sends and receives what can be; whether anything was done.
    fn drive(&mut self, place: usize, land: &mut impl FnMut(usize, &[f32])) -> Result<bool, GroupError> {
        let peer = &mut self.peers[place];
        let rank = peer.rank;
        let failed = |error| GroupError::Link { rank, error };
        let mut has_moved = false;
        if !peer.has_left {
            peer.has_left = peer.link.advance().map_err(failed)?;
            has_moved = peer.has_left;
        }
        let Some(expected) = peer.awaited else { return Ok(has_moved) };
        match peer.link.recv_into(&mut self.metadata, &mut self.arrived, Instant::now()) {
            Ok(_) => {}
            Err(LinkError::Timeout { .. }) => return Ok(has_moved),
            Err(error) => return Err(failed(error)),
        }
        peer.awaited = None;
        let found = self.metadata.first_chunk().map_or(0, |tag| u64::from_le_bytes(*tag));
        if found != self.operation {
            return Err(GroupError::Mixed { rank, expected: self.operation, found });
        }
        if self.arrived.len() != expected {
            return Err(GroupError::Length { rank, expected, found: self.arrived.len() });
        }
        land(rank, &self.arrived);
        Ok(true)
    }

    /// Sleeps until a link is ready or the time is over.
    fn sleep(&self, left: Duration) -> Result<(), GroupError> {
        let flags = |peer: &Peer<L>| {
            let receives = if peer.awaited.is_some() { PollFlags::POLLIN } else { PollFlags::empty() };
            let sends = if peer.has_left { PollFlags::empty() } else { PollFlags::POLLOUT };
            receives | sends
        };
        let waiting = self.peers.iter().filter(|peer| !peer.is_done());
        let mut waits: Vec<PollFd<'_>> = waiting.map(|peer| PollFd::new(peer.link.readiness(), flags(peer))).collect();
        let millis = left.as_millis().saturating_add(1).min(60_000);
        match poll(&mut waits, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(GroupError::Wait(error.into())),
        }
    }
}

impl<L> Peer<L> {
    fn is_done(&self) -> bool {
        self.has_left && self.awaited.is_none()
    }
}

/// Where a rank's part lies in the whole.
fn range(parts: &[usize], rank: usize) -> Range<usize> {
    let start = parts[..rank].iter().sum();
    start..start + parts[rank]
}

/// The part of `range` at `piece`, counted from its start.
fn cut(range: Range<usize>, piece: &Range<usize>) -> Range<usize> {
    let at = |offset: usize| range.start.saturating_add(offset).min(range.end);
    at(piece.start)..at(piece.end)
}
