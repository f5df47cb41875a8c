//! A disk in memory that can be full, broken, or without power, under a database.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;
use redb::StorageBackend;

/// One disk; clones are the same one.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What is read: everything that was written.
    seen: Vec<u8>,
    /// What is there after a power cut, as far as it was synced.
    durable: Vec<u8>,
    /// What was done since the last sync.
    unsynced: Vec<Change>,
    health: Health,
    /// Writes, changes of length and syncs so far.
    operations: u64,
    /// At which of them the power goes, and what decides over what was not synced.
    cut: Option<(u64, Rng)>,
    /// At which of them it falls ill, and how.
    ill: Option<(u64, Health)>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

/// How a disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It works.
    Well,
    /// It reads, and has no room.
    Full,
    /// It fails whatever is asked.
    Broken,
    /// It has no power.
    Off,
}

impl Disk {
    /// A disk with these bytes on it.
    pub fn new(bytes: Vec<u8>) -> Disk {
        let durable = bytes.clone();
        let state = State {
            seen: bytes,
            durable,
            unsynced: vec![],
            health: Health::Well,
            operations: 0,
            cut: None,
            ill: None,
        };
        Disk(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What would be read from it.
    pub fn bytes(&self) -> Vec<u8> {
        self.state().seen.clone()
    }

    /// Writes, changes of length and syncs so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Makes it well or ill, now.
    pub fn set_health(&self, health: Health) {
        let mut state = self.state();
        state.health = health;
        state.ill = None;
    }

    /// Makes it ill at an operation from now on, which is the first to fail.
    pub fn fall_ill_after(&self, operations: u64, health: Health) {
        let mut state = self.state();
        state.ill = Some((state.operations + operations, health));
    }

    /// Cuts the power at an operation from now on, which fails, as all do after it. Some of what was not synced
    /// is on the disk then, whole or torn, and some is not.
    pub fn cut_after(&self, operations: u64, rng: Rng) {
        let mut state = self.state();
        state.cut = Some((state.operations + operations, rng));
    }

    /// Whether the power has gone.
    pub fn is_off(&self) -> bool {
        self.state().health == Health::Off
    }

    /// Brings the power back, if it has gone; no cut is planned any more.
    pub fn power_on(&self) {
        let mut state = self.state();
        if state.health == Health::Off {
            state.seen = state.durable.clone();
            state.health = Health::Well;
        }
        state.cut = None;
    }
}

impl State {
    /// Counts an operation. Fails if the disk does.
    fn operate(&mut self, change: Option<Change>) -> io::Result<()> {
        if let Some((_, health)) = self.ill.take_if(|(at, _)| *at <= self.operations + 1) {
            self.health = health;
        }
        match self.health {
            Health::Well => {}
            Health::Full if change.is_none() => {}
            Health::Full => return Err(io::ErrorKind::StorageFull.into()),
            Health::Broken | Health::Off => return Err(broken()),
        }
        self.operations += 1;
        let is_sync = change.is_none();
        if let Some(change) = change {
            change.apply(&mut self.seen);
            self.unsynced.push(change);
        }
        if let Some((_, rng)) = self.cut.take_if(|(at, _)| *at <= self.operations) {
            self.lose_power(rng);
            return Err(broken());
        }
        if is_sync {
            self.durable = self.seen.clone();
            self.unsynced.clear();
        }
        Ok(())
    }

    fn lose_power(&mut self, mut rng: Rng) {
        // From nearly nothing to nearly everything.
        let share = rng.f64();
        for change in std::mem::take(&mut self.unsynced) {
            if rng.f64() >= share {
                continue;
            }
            match change {
                Change::Write(at, bytes) if rng.u8(..4) == 0 => {
                    let torn = bytes[..rng.usize(..=bytes.len())].to_vec();
                    Change::Write(at, torn).apply(&mut self.durable);
                }
                whole => whole.apply(&mut self.durable),
            }
        }
        self.health = Health::Off;
    }
}

impl Change {
    /// What lies behind the end is lost: a file system keeps its length with the file, not with the bytes.
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::SetLen(len) => bytes.resize(*len, 0),
            Change::Write(at, written) => {
                let from = bytes.len().min(*at);
                let to = bytes.len().min(at + written.len());
                bytes[from..to].copy_from_slice(&written[..to - from]);
            }
        }
    }
}

fn broken() -> io::Error {
    io::Error::other("the disk does not answer")
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        if matches!(state.health, Health::Broken | Health::Off) {
            return Err(broken());
        }
        let from = offset as usize;
        let bytes = state.seen.get(from..from.saturating_add(out.len()));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state().operate(Some(Change::SetLen(len as usize)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.state().operate(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        assert!(offset as usize + data.len() <= state.seen.len(), "a write within the length");
        state.operate(Some(Change::Write(offset as usize, data.to_vec())))
    }
}
