//! Bytes, as they come, into frames. Knows nothing of sockets: who brings the bytes is the caller's matter.

use crate::error::ProtocolError;
use crate::frame::{Agreed, HEADER, Header};
use crate::handshake::{Handshake, Precision};
use half::f16;
use half::slice::HalfFloatSliceExt;

/// Cuts what a peer sends into frames, and checks every field of every header against what was agreed.
///
/// Holds at most one frame of the agreed size, whatever lengths come. How the bytes are cut on their way never changes
/// the frames.
pub struct FrameReader {
    agreed: Agreed,
    /// What came and was not taken: `start..end`. As long as the longest frame.
    arrived: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes that have to stand at `start` before there is anything to say.
    wanted: usize,
    taken: u64,
    halves: Vec<f16>,
}

impl FrameReader {
    /// Reads the frames of a link from the first one on. `agreed` is what both sides said in their handshakes, with the
    /// smaller maxima; `nonce` names the link.
    pub fn new(agreed: &Handshake, nonce: u64) -> Self {
        Self::of(Agreed::of(agreed, nonce))
    }

    pub(crate) fn of(agreed: Agreed) -> Self {
        let arrived = vec![0; agreed.longest_frame()];
        Self { agreed, arrived, start: 0, end: 0, wanted: HEADER, taken: 0, halves: Vec::new() }
    }

    /// Where the next bytes go. Never empty where [`Self::take_into`] found no whole frame.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start + self.wanted > self.arrived.len() {
            self.arrived.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.arrived[self.end..]
    }

    /// Says that so many bytes were put into [`Self::room`].
    ///
    /// # Panics
    /// If there was not as much room.
    pub fn put(&mut self, count: usize) {
        assert!(count <= self.arrived.len() - self.end, "{count} bytes do not fit");
        self.end += count;
    }

    /// Bytes of a frame that is not whole yet.
    pub fn pending(&self) -> usize {
        self.end - self.start
    }

    /// Takes the next frame into the vectors, in place of what they hold, and returns its number, from 0; nothing, and
    /// nothing changed, if it has not come whole. After an error no frame can follow.
    pub fn take_into(&mut self, metadata: &mut Vec<u8>, values: &mut Vec<f32>) -> Result<Option<u64>, ProtocolError> {
        let Some(header) = self.whole_frame()? else { return Ok(None) };
        let payload = &self.arrived[self.start + HEADER..][..header.payload()];
        let (blob, numbers) = payload.split_at(header.metadata);
        metadata.clear();
        metadata.extend_from_slice(blob);
        read_values(header.precision, numbers, &mut self.halves, values);
        self.start += HEADER + header.payload();
        self.taken += 1;
        self.wanted = HEADER;
        Ok(Some(header.sequence))
    }

    /// The header of the frame at `start`, checked, if all of the frame is there.
    fn whole_frame(&mut self) -> Result<Option<Header>, ProtocolError> {
        let here = &self.arrived[self.start..self.end];
        let Some((bytes, behind)) = here.split_first_chunk::<HEADER>() else { return Ok(None) };
        let header = Header::read(bytes, "data")?;
        header.check(&self.agreed, self.taken)?;
        self.wanted = HEADER + header.payload();
        Ok((behind.len() >= header.payload()).then_some(header))
    }
}

fn read_values(precision: Precision, bytes: &[u8], halves: &mut Vec<f16>, values: &mut Vec<f32>) {
    values.clear();
    match precision {
        Precision::F32 => {
            let (chunks, _) = bytes.as_chunks::<4>();
            values.extend(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)));
        }
        Precision::F16 => {
            let (chunks, _) = bytes.as_chunks::<2>();
            halves.clear();
            halves.extend(chunks.iter().map(|chunk| f16::from_le_bytes(*chunk)));
            values.resize(halves.len(), 0.0);
            halves.convert_to_f32_slice(values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Kind;
    use proptest::prelude::*;

    const AGREED: Agreed = Agreed { precision: Precision::F16, nonce: 7, max_metadata: 5, max_values: 9 };

    /// A frame whose metadata and values count from its number on.
    fn frame(sequence: u64, metadata: usize, values: usize) -> Vec<u8> {
        let header = Header { kind: Kind::Data, precision: Precision::F16, nonce: 7, sequence, metadata, values };
        let mut bytes = header.write().to_vec();
        bytes.extend((0..metadata).map(|at| at as u8));
        bytes.extend((0..values).flat_map(|at| f16::from_f32(at as f32).to_le_bytes()));
        bytes
    }

    /// What comes of bytes that come in pieces of those sizes, again and again: lengths of the frames.
    fn read(bytes: &[u8], sizes: &[usize]) -> Result<Vec<(u64, usize, usize)>, ProtocolError> {
        let mut reader = FrameReader::of(AGREED);
        let (mut metadata, mut values, mut frames) = (Vec::new(), Vec::new(), Vec::new());
        let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
        loop {
            while let Some(number) = reader.take_into(&mut metadata, &mut values)? {
                assert!(values.iter().enumerate().all(|(at, value)| *value == at as f32));
                frames.push((number, metadata.len(), values.len()));
            }
            if rest.is_empty() {
                return Ok(frames);
            }
            let room = reader.room();
            let count = room.len().min(rest.len()).min(*sizes.next().expect("it goes on for ever"));
            assert!(!room.is_empty(), "a frame is missing, so there is room for it");
            room[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            reader.put(count);
        }
    }

    #[test]
    fn what_is_not_whole_waits_and_what_is_wrong_ends_it() {
        let two = [frame(0, 5, 9), frame(1, 0, 0)].concat();
        assert_eq!(read(&two, &[1]), Ok(vec![(0, 5, 9), (1, 0, 0)]));
        assert_eq!(read(&two[..two.len() - 1], &[100]), Ok(vec![(0, 5, 9)]));
        let again = [frame(0, 1, 1), frame(0, 1, 1)].concat();
        assert_eq!(read(&again, &[3]), Err(ProtocolError::Sequence { found: 0, expected: 1 }));
        assert_eq!(
            read(&frame(0, 6, 0), &[32]),
            Err(ProtocolError::Length { what: "bytes of metadata", size: 6, limit: 5 })
        );
    }

    proptest! {
        #[test]
        fn how_bytes_are_cut_changes_no_frame(
            frames in proptest::collection::vec((0_usize..=5, 0_usize..=9), 0..6),
            sizes in proptest::collection::vec(1_usize..70, 1..9),
        ) {
            let bytes: Vec<u8> = (0..).zip(&frames).flat_map(|(at, (metadata, values))| frame(at, *metadata, *values)).collect();
            let expect: Vec<_> = (0..).zip(frames).map(|(at, (metadata, values))| (at, metadata, values)).collect();
            prop_assert_eq!(read(&bytes, &sizes), Ok(expect));
        }
    }
}
