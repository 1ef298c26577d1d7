//! CRC-32 (IEEE 802.3, reflected 0xEDB88320), by table.

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            let carry = if remainder & 1 == 1 { 0xEDB8_8320 } else { 0 };
            remainder = (remainder >> 1) ^ carry;
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
}

/// A checksum under way.
pub(super) struct Crc32(u32);

impl Default for Crc32 {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

impl Crc32 {
    /// Takes up more bytes.
    pub(super) fn update(self, bytes: &[u8]) -> Self {
        let step = |crc: u32, byte: &u8| (crc >> 8) ^ TABLE[((crc ^ u32::from(*byte)) & 0xFF) as usize];
        Self(bytes.iter().fold(self.0, step))
    }

    /// The checksum.
    pub(super) fn finish(self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_crc_that_others_compute() {
        // The check value of the catalogue of CRC algorithms.
        assert_eq!(Crc32::default().update(b"1234").update(b"56789").finish(), 0xCBF4_3926);
    }
}
