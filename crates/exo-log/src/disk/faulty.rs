//! A disk in memory that does what disks do at their worst.

use super::{Disk, DiskFile, SmallFile};
use crate::dice::Dice;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a disk writes in one go: a torn write ends at such a border.
const SECTOR: usize = 512;

/// A disk in memory. Clones are the same disk; it outlives the log that is on it, and the next log finds what a power
/// cut left. The same seed makes the same mishaps.
#[derive(Debug, Clone)]
pub struct FaultyDisk(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    dice: Dice,
    /// What the running system sees.
    image: Vec<u8>,
    /// What is on the disk for sure.
    durable: Vec<u8>,
    /// What was written since the last sync, in order.
    unsynced: Vec<Unsynced>,
    small: BTreeMap<SmallFile, Small>,
    /// Counts the power cuts: an older handle belongs to a process that is no more.
    life: u64,
    open: bool,
    full: bool,
    calls_to_power_cut: Option<u64>,
    sync_time: Duration,
    delay: Duration,
    quarantined: usize,
}

#[derive(Debug)]
enum Unsynced {
    Length(usize),
    Write { offset: usize, data: Vec<u8> },
}

#[derive(Debug, Default, Clone)]
struct Small {
    image: Option<Vec<u8>>,
    durable: Option<Vec<u8>>,
}

impl FaultyDisk {
    /// An empty disk that works until it is told otherwise.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            dice: Dice::new(seed),
            image: Vec::new(),
            durable: Vec::new(),
            unsynced: Vec::new(),
            small: BTreeMap::new(),
            life: 0,
            open: false,
            full: false,
            calls_to_power_cut: None,
            sync_time: Duration::ZERO,
            delay: Duration::ZERO,
            quarantined: 0,
        })))
    }

    /// The power goes: of what was not synced each write is lost, kept or torn. Open handles fail from now on.
    pub fn power_cut(&self) {
        self.lock().power_cut();
    }

    /// The process that has it open is no more, as after `kill -9`: open handles fail from now on, and everything that
    /// was written stays, synced or not.
    pub fn detach(&self) {
        let mut inner = self.lock();
        inner.life += 1;
        inner.open = false;
        inner.calls_to_power_cut = None;
        inner.delay = Duration::ZERO;
    }

    /// The machine is switched off in order: all that was written is on the disk.
    pub fn switch_off(&self) {
        self.detach();
        let mut inner = self.lock();
        inner.durable = inner.image.clone();
        inner.unsynced.clear();
        for small in inner.small.values_mut() {
            small.durable.clone_from(&small.image);
        }
    }

    /// The power goes after so many more writes and syncs: in the middle of a commit, if it comes to one.
    pub fn power_cut_after(&self, calls: u64) {
        self.lock().calls_to_power_cut = Some(calls);
    }

    /// Flips a bit somewhere in the log file; false when the file has none.
    pub fn flip_bit(&self) -> bool {
        let mut inner = self.lock();
        let len = inner.image.len() as u64;
        let (byte, bit) = (inner.dice.below(len), inner.dice.below(8));
        inner.flip(byte, u8::try_from(bit).unwrap_or(0))
    }

    /// Flips that bit of the log file.
    pub fn flip_bit_at(&self, byte: u64, bit: u8) {
        self.lock().flip(byte, bit);
    }

    /// While it is full, nothing can be written.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// How long a sync takes, by tokio's clock.
    pub fn set_sync_time(&self, time: Duration) {
        self.lock().sync_time = time;
    }

    /// Length of the log file.
    pub fn len(&self) -> u64 {
        self.lock().image.len() as u64
    }

    /// Whether the log file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Logs that were put into the quarantine.
    pub fn quarantined(&self) -> usize {
        self.lock().quarantined
    }

    /// Another disk with the same bytes on it, as a copy of the medium would have them.
    pub fn duplicate(&self, seed: u64) -> Self {
        let from = self.lock();
        let copy = Self::new(seed);
        let mut to = copy.lock();
        to.image.clone_from(&from.image);
        to.durable.clone_from(&from.image);
        for (file, small) in &from.small {
            to.small.insert(*file, Small { image: small.image.clone(), durable: small.image.clone() });
        }
        drop(to);
        copy
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn power_cut(&mut self) {
        self.life += 1;
        self.open = false;
        self.calls_to_power_cut = None;
        self.delay = Duration::ZERO;
        for unsynced in std::mem::take(&mut self.unsynced) {
            match self.dice.below(3) {
                0 => {}
                1 => apply(&mut self.durable, &unsynced),
                _ => self.tear(unsynced),
            }
        }
        self.image.clone_from(&self.durable);
        for small in self.small.values_mut() {
            if self.dice.below(2) == 0 {
                small.durable.clone_from(&small.image);
            }
            small.image.clone_from(&small.durable);
        }
    }

    fn tear(&mut self, unsynced: Unsynced) {
        if let Unsynced::Write { offset, mut data } = unsynced {
            let sectors = self.dice.below((data.len() / SECTOR) as u64);
            data.truncate(usize::try_from(sectors).unwrap_or(0) * SECTOR);
            apply(&mut self.durable, &Unsynced::Write { offset, data });
        }
    }

    fn flip(&mut self, byte: u64, bit: u8) -> bool {
        let Ok(byte) = usize::try_from(byte) else { return false };
        let mut found = false;
        for bytes in [&mut self.image, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(byte) {
                *byte ^= 1 << (bit % 8);
                found = true;
            }
        }
        found
    }

    /// Whether a handle of that life may write now.
    fn may_write(&mut self, life: u64) -> io::Result<()> {
        self.may_read(life)?;
        if let Some(left) = &mut self.calls_to_power_cut {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => {
                    self.power_cut();
                    return Err(power_is_off());
                }
            }
        }
        if self.full {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"));
        }
        Ok(())
    }

    fn may_read(&self, life: u64) -> io::Result<()> {
        if life == self.life { Ok(()) } else { Err(power_is_off()) }
    }

    fn write(&mut self, unsynced: Unsynced) {
        apply(&mut self.image, &unsynced);
        self.unsynced.push(unsynced);
    }

    fn sync(&mut self) {
        for unsynced in std::mem::take(&mut self.unsynced) {
            apply(&mut self.durable, &unsynced);
        }
        self.delay += self.sync_time;
    }
}

fn power_is_off() -> io::Error {
    io::Error::other("the power was cut")
}

fn apply(bytes: &mut Vec<u8>, unsynced: &Unsynced) {
    match unsynced {
        Unsynced::Length(len) => bytes.resize(*len, 0),
        Unsynced::Write { offset, data } => {
            let end = offset + data.len();
            // A write whose growth was lost grows the file itself.
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(data);
        }
    }
}

impl Disk for FaultyDisk {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn open(&self) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.lock();
        if inner.open {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        inner.open = true;
        Ok(Box::new(OpenFile { disk: self.clone(), life: inner.life }))
    }

    fn has_log(&self) -> io::Result<bool> {
        Ok(!self.lock().image.is_empty())
    }

    fn read_small(&self, file: SmallFile) -> io::Result<Option<Vec<u8>>> {
        Ok(self.lock().small.get(&file).and_then(|small| small.image.clone()))
    }

    fn write_small(&self, file: SmallFile, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.lock();
        let life = inner.life;
        inner.may_write(life)?;
        let small = Small { image: Some(bytes.to_vec()), durable: Some(bytes.to_vec()) };
        inner.small.insert(file, small);
        Ok(())
    }

    fn note_small(&self, file: SmallFile, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.lock();
        let life = inner.life;
        inner.may_write(life)?;
        inner.small.entry(file).or_default().image = Some(bytes.to_vec());
        Ok(())
    }

    fn quarantine(&self) -> io::Result<String> {
        let mut inner = self.lock();
        inner.quarantined += 1;
        inner.image.clear();
        inner.durable.clear();
        inner.unsynced.clear();
        inner.small.retain(|file, _| *file == SmallFile::Members);
        Ok(format!("memory-quarantine-{}", inner.quarantined))
    }

    fn take_delay(&self) -> Duration {
        std::mem::take(&mut self.lock().delay)
    }
}

/// The log file, for one life of the process.
#[derive(Debug)]
struct OpenFile {
    disk: FaultyDisk,
    life: u64,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let mut inner = self.disk.lock();
        if inner.life == self.life {
            inner.open = false;
        }
    }
}

impl DiskFile for OpenFile {
    fn len(&self) -> io::Result<u64> {
        let inner = self.disk.lock();
        inner.may_read(self.life)?;
        Ok(inner.image.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.disk.lock();
        inner.may_read(self.life)?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let bytes = inner.image.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let mut inner = self.disk.lock();
        inner.may_write(self.life)?;
        inner.write(Unsynced::Length(len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.lock();
        inner.may_write(self.life)?;
        inner.sync();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let mut inner = self.disk.lock();
        inner.may_write(self.life)?;
        inner.write(Unsynced::Write { offset, data: data.to_vec() });
        Ok(())
    }
}
