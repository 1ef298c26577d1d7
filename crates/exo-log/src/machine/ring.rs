//! The last events, for those who are a little behind.

use crate::{Page, ReadError};
use exo_types::{EventIndex, IndexedEvent};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of events that are kept at most, about.
const KEPT_BYTES: usize = 8 << 20;

/// Applied events in the groups in which they were applied.
#[derive(Debug)]
pub(crate) struct Ring {
    groups: VecDeque<Group>,
    events: usize,
    bytes: usize,
    limit: usize,
    /// The last event that was applied, whether it is here or not.
    last: EventIndex,
}

#[derive(Debug)]
struct Group {
    events: Arc<Vec<IndexedEvent>>,
    bytes: usize,
}

impl Ring {
    pub(crate) fn new(limit: usize, last: EventIndex) -> Self {
        Self { groups: VecDeque::new(), events: 0, bytes: 0, limit, last }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn push(&mut self, events: Arc<Vec<IndexedEvent>>, bytes: usize) {
        let Some(last) = events.last() else { return };
        self.last = last.idx;
        self.events += events.len();
        self.bytes += bytes;
        self.groups.push_back(Group { events, bytes });
        while self.groups.len() > 1 && (self.events > self.limit || self.bytes > KEPT_BYTES) {
            let Some(group) = self.groups.pop_front() else { return };
            self.events -= group.events.len();
            self.bytes -= group.bytes;
        }
    }

    /// Events from `since` on, at most `limit`.
    pub(crate) fn read(&self, since: EventIndex, limit: usize) -> Result<Page, ReadError> {
        let first = self.first();
        if since < first {
            return Err(ReadError::Purged { first });
        }
        let begin = self.groups.partition_point(|group| group.events.last().is_none_or(|event| event.idx < since));
        let wanted = self.groups.range(begin..).flat_map(|group| group.events.iter());
        let events = wanted.filter(|event| event.idx >= since).take(limit).cloned().collect();
        Ok(Page { events, last: self.last })
    }

    /// The newest, in order, at most so many and so many bytes by that measure.
    pub(crate) fn newest(&self, limit: usize, bytes: usize) -> Vec<Arc<Vec<IndexedEvent>>> {
        let (mut count, mut size) = (0, 0);
        let fits = |group: &&Group| {
            count += group.events.len();
            size += group.bytes;
            count <= limit && size <= bytes
        };
        let mut groups: Vec<_> = self.groups.iter().rev().take_while(fits).map(|group| group.events.clone()).collect();
        groups.reverse();
        groups
    }

    /// The first event that is here; the next one when none is.
    fn first(&self) -> EventIndex {
        let first = self.groups.front().and_then(|group| group.events.first());
        first.map_or(self.last.next(), |event| event.idx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exo_types::{Event, NodeId};

    fn group(range: std::ops::RangeInclusive<u64>) -> Arc<Vec<IndexedEvent>> {
        let event = || Event::NodeTimedOut { node_id: NodeId::new("a").expect("a good id") };
        Arc::new(range.map(|idx| IndexedEvent { idx: EventIndex(idx), origin: None, event: event() }).collect())
    }

    fn indices(page: Result<Page, ReadError>) -> Vec<u64> {
        page.expect("there").events.iter().map(|event| event.idx.0).collect()
    }

    #[test]
    fn what_is_kept_is_read_and_what_is_not_is_told() {
        let mut ring = Ring::new(6, EventIndex(10));
        assert_eq!(indices(ring.read(EventIndex(11), 9)), [0; 0]);
        assert_eq!(ring.read(EventIndex(10), 9), Err(ReadError::Purged { first: EventIndex(11) }));
        for range in [11..=13, 14..=14, 15..=18] {
            ring.push(group(range), 100);
        }
        assert_eq!(indices(ring.read(EventIndex(14), 3)), [14, 15, 16]);
        assert_eq!(indices(ring.read(EventIndex(17), 9)), [17, 18]);
        assert_eq!(indices(ring.read(EventIndex(19), 9)), [0; 0]);
        assert_eq!(ring.read(EventIndex(11), 9), Err(ReadError::Purged { first: EventIndex(14) }));
    }

    #[test]
    fn many_bytes_push_out_older_ones_but_never_the_newest() {
        let mut ring = Ring::new(100, EventIndex(0));
        ring.push(group(1..=2), KEPT_BYTES);
        ring.push(group(3..=4), KEPT_BYTES * 2);
        assert_eq!(indices(ring.read(EventIndex(3), 9)), [3, 4]);
        assert_eq!(ring.newest(9, KEPT_BYTES).len(), 0);
        assert_eq!(ring.newest(9, KEPT_BYTES * 2).len(), 1);
    }
}
