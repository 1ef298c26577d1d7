//! The head of redb's file: of which format it is.
//!
//! redb takes a version that it does not know for damage. A newer exo may write one, and its log must not be put away.
//!
//! ```text
//! 0: magic number, 9 bytes   64 and 192: the two commit slots, each begins with the version of the format
//! ```

use crate::disk::DiskFile;
use std::io;

const MAGIC: &[u8; 9] = b"redb\x1a\x0a\xa9\x0d\x0a";
const FIRST_SLOT: usize = 64;
const SECOND_SLOT: usize = 192;

/// The newest format that redb reads.
const READS: u8 = 3;

/// The version of the file's format if it is newer than what is read here.
pub(super) fn newer_version(file: &dyn DiskFile) -> io::Result<Option<u8>> {
    let mut head = [0; SECOND_SLOT + 1];
    if file.len()? < head.len() as u64 {
        return Ok(None);
    }
    file.read(0, &mut head)?;
    Ok(newer(&head))
}

fn newer(head: &[u8; SECOND_SLOT + 1]) -> Option<u8> {
    let versions = [head[FIRST_SLOT], head[SECOND_SLOT]];
    let newest = versions.into_iter().max().filter(|version| head.starts_with(MAGIC) && *version > READS)?;
    // One turned bit in one slot is damage. Nobody jumps to such a version and leaves the other slot as it was.
    let is_one_bit = (newest ^ READS).is_power_of_two() && versions.contains(&READS);
    (!is_one_bit).then_some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_format_is_told_from_a_turned_bit() {
        for (versions, expect) in [
            ([3, 3], None),
            ([2, 3], None),
            ([4, 4], Some(4)),
            ([3, 4], Some(4)),
            ([5, 4], Some(5)),
            ([7, 7], Some(7)),
            // Bit 2 and bit 7 of a 3.
            ([7, 3], None),
            ([3, 131], None),
        ] {
            let mut head = [0; SECOND_SLOT + 1];
            head[..9].copy_from_slice(MAGIC);
            (head[FIRST_SLOT], head[SECOND_SLOT]) = (versions[0], versions[1]);
            assert_eq!(newer(&head), expect, "{versions:?}");
            head[0] = b'R';
            assert_eq!(newer(&head), None, "no file of redb");
        }
    }
}
