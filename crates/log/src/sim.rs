//! A disk that does what disks do at their worst, the same each time for the same seed.
//!
//! What is written goes to a page cache and is on the platter only after a sync. When the power goes, each sector that
//! was not synced is there, is not, or is torn; a file has any length between the old and the new; and each change of
//! a name that was not synced has happened or not, whatever happened to those before it. A sync that fails may have
//! written any of the sectors, and forgets the rest: as on Linux, the next sync succeeds without writing them.
//! When only the process dies, the cache stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::disk::{Disk, DiskFile};

const SECTOR_BYTES: usize = 512;

/// How often a call goes wrong, from 0 (never) to 1 (always).
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A write takes only a part of the bytes, which is no error.
    pub short_write: f64,
    /// A write fails, having written any part of the bytes.
    pub write: f64,
    /// A write fails for want of space, having written any part of the bytes.
    pub no_space: f64,
    /// A sync of a file fails.
    pub sync: f64,
    /// A file is not created, renamed or removed, or a sync of the names fails.
    pub names: f64,
    /// A read or the opening of a file fails.
    pub read: f64,
}

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
}

type Meanwhile = Box<dyn FnMut() + Send>;

struct World {
    random: SmallRng,
    faults: Faults,
    capacity: u64,
    /// The power goes at this many calls from now.
    power_lasts: Option<u64>,
    down: bool,
    /// Counts the restarts; files that were open before one are dead.
    boot: u64,
    calls: u64,
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    /// Changes of names since they were last synced.
    unsynced_names: Vec<NameChange>,
}

#[derive(Default)]
struct Content {
    /// What readers see.
    cache: Vec<u8>,
    platter: Vec<u8>,
    /// Sectors that the next sync writes.
    dirty: BTreeSet<usize>,
}

#[derive(Clone)]
enum NameChange {
    Create(String, usize),
    Rename(String, String, usize),
    Remove(String),
}

impl SimDisk {
    /// An empty disk without faults and with much space.
    pub fn new(seed: u64) -> Self {
        let world = World {
            random: SmallRng::seed_from_u64(seed),
            faults: Faults::default(),
            capacity: 1 << 40,
            power_lasts: None,
            down: false,
            boot: 0,
            calls: 0,
            files: Vec::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
        };
        Self { world: Arc::new(Mutex::new(world)), meanwhile: Arc::default() }
    }

    /// Does this before each call: what others do while the writer is at the disk. It must not use the disk.
    pub fn meanwhile(&self, other: Option<Box<dyn FnMut() + Send>>) {
        *self.meanwhile.lock() = other;
    }

    fn world(&self) -> MutexGuard<'_, World> {
        if let Some(other) = &mut *self.meanwhile.lock() {
            other();
        }
        self.world.lock()
    }

    /// From now on calls fail this often.
    pub fn set_faults(&self, faults: Faults) {
        self.world.lock().faults = faults;
    }

    /// How many bytes of files it takes.
    pub fn set_capacity(&self, bytes: u64) {
        self.world.lock().capacity = bytes;
    }

    /// The power goes in the midst of a call, after this many more. Then every call fails until
    /// [`SimDisk::restart_after_power_cut`].
    pub fn cut_power_after(&self, calls: u64) {
        self.world.lock().power_lasts = Some(calls);
    }

    /// Whether the power is off.
    pub fn is_down(&self) -> bool {
        self.world.lock().down
    }

    /// How many calls there have been.
    pub fn calls(&self) -> u64 {
        self.world.lock().calls
    }

    /// The process dies and is started again: everything written is there, synced or not.
    pub fn restart_after_kill(&self) {
        self.world.lock().reboot();
    }

    /// The power is cut, if it is not off already, and comes back: what was not synced may be there, or in part.
    pub fn restart_after_power_cut(&self) {
        let world = &mut *self.world.lock();
        world.reboot();
        for content in &mut world.files {
            content.lose_power(&mut world.random);
        }
        for change in std::mem::take(&mut world.unsynced_names) {
            if world.random.random() {
                change.apply(&mut world.synced_names);
            }
        }
        world.names = world.synced_names.clone();
    }

    /// Bytes of all files that have a name.
    pub fn used_bytes(&self) -> u64 {
        self.world.lock().used_bytes()
    }

    /// The names of all files.
    pub fn file_names(&self) -> Vec<String> {
        self.world.lock().names.keys().cloned().collect()
    }

    /// Changes the bytes of a file behind everybody's back.
    ///
    /// # Panics
    /// When there is no file of that name.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let world = &mut *self.world.lock();
        let content = &mut world.files[world.names[name]];
        change(&mut content.cache);
        content.platter.clone_from(&content.cache);
        content.dirty.clear();
    }

    /// Removes a file behind everybody's back.
    pub fn lose(&self, name: &str) {
        let world = &mut *self.world.lock();
        world.names.remove(name);
        world.synced_names.remove(name);
    }
}

impl World {
    fn reboot(&mut self) {
        self.boot += 1;
        self.down = false;
        self.power_lasts = None;
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|&file| self.files[file].cache.len() as u64).sum()
    }

    /// Begins a call: `Ok(true)` when the power goes during it.
    fn begin(&mut self) -> io::Result<bool> {
        if self.down {
            return Err(io::Error::other("the power is off"));
        }
        self.calls += 1;
        match &mut self.power_lasts {
            Some(0) => self.down = true,
            Some(calls) => *calls -= 1,
            None => {}
        }
        Ok(self.down)
    }

    fn hits(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.random.random_bool(probability)
    }

    /// Changes a name, unless that fails.
    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        let power_goes = self.begin()?;
        if self.hits(self.faults.names) {
            return Err(eio());
        }
        if !power_goes || self.random.random() {
            change.apply(&mut self.names);
            self.unsynced_names.push(change);
        }
        if power_goes { Err(eio()) } else { Ok(()) }
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl Content {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.cache.len() < end {
            self.cache.resize(end, 0);
        }
        self.cache[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES));
    }

    /// Puts the first `keep` bytes of a dirty sector on the platter.
    fn flush(&mut self, sector: usize, keep: usize) {
        let begin = sector * SECTOR_BYTES;
        let end = self.cache.len().min(self.platter.len()).min(begin + keep);
        if begin < end {
            self.platter[begin..end].copy_from_slice(&self.cache[begin..end]);
        }
    }

    fn sync(&mut self) {
        self.platter.resize(self.cache.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            self.flush(sector, SECTOR_BYTES);
        }
    }

    /// A sync that fails: any of the sectors are written, and the rest will never be.
    fn sync_badly(&mut self, random: &mut SmallRng) {
        if random.random() {
            self.platter.resize(self.cache.len(), 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            if random.random() {
                self.flush(sector, SECTOR_BYTES);
            }
        }
    }

    fn lose_power(&mut self, random: &mut SmallRng) {
        let (from, to) = (self.platter.len(), self.cache.len());
        let len = match random.random_range(0..3) {
            0 => from,
            1 => to,
            _ => random.random_range(from.min(to)..=from.max(to)),
        };
        self.platter.resize(len, 0);
        for sector in std::mem::take(&mut self.dirty) {
            match random.random_range(0..3) {
                0 => {}
                1 => self.flush(sector, SECTOR_BYTES),
                _ => self.flush(sector, random.random_range(0..SECTOR_BYTES)),
            }
        }
        self.cache.clone_from(&self.platter);
    }
}

fn eio() -> io::Error {
    io::Error::other("input/output error (simulated)")
}

impl Disk for SimDisk {
    fn path(&self, name: &str) -> PathBuf {
        Path::new("/sim").join(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let world = &mut *self.world();
        world.begin()?;
        Ok(world.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let world = &mut *self.world();
        if world.begin()? || world.hits(world.faults.read) {
            return Err(eio());
        }
        let file = world.find(name)?;
        Ok(Box::new(SimFile { disk: self.clone(), file, boot: world.boot }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let world = &mut *self.world();
        let file = world.files.len();
        world.files.push(Content::default());
        world.change_name(NameChange::Create(name.into(), file))?;
        Ok(Box::new(SimFile { disk: self.clone(), file, boot: world.boot }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let world = &mut *self.world();
        let file = world.find(from)?;
        world.change_name(NameChange::Rename(from.into(), to.into(), file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let world = &mut *self.world();
        world.find(name)?;
        world.change_name(NameChange::Remove(name.into()))
    }

    fn sync_names(&self) -> io::Result<()> {
        let world = &mut *self.world();
        if world.begin()? || world.hits(world.faults.names) {
            return Err(eio());
        }
        world.synced_names = world.names.clone();
        world.unsynced_names.clear();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let world = self.world();
        Ok(world.capacity.saturating_sub(world.used_bytes()))
    }
}

struct SimFile {
    disk: SimDisk,
    file: usize,
    boot: u64,
}

impl SimFile {
    /// Begins a call on this file, which says as the last argument whether the power goes during it.
    fn call<T>(&self, does: impl FnOnce(&mut World, bool) -> io::Result<T>) -> io::Result<T> {
        let world = &mut *self.disk.world();
        if self.boot != world.boot {
            return Err(io::Error::other("the file was opened before the restart"));
        }
        let power_goes = world.begin()?;
        does(world, power_goes)
    }
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        self.call(|world, _| Ok(world.files[self.file].cache.len() as u64))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call(|world, power_goes| {
            if power_goes || world.hits(world.faults.read) {
                return Err(eio());
            }
            let rest = world.files[self.file].cache.get(offset as usize..).unwrap_or_default();
            let n = rest.len().min(buffer.len());
            buffer[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.call(|world, power_goes| {
            let error = if power_goes || world.hits(world.faults.write) {
                Some(eio())
            } else if world.hits(world.faults.no_space) {
                Some(io::ErrorKind::StorageFull.into())
            } else {
                None
            };
            let size = world.files[self.file].cache.len() as u64;
            let room = size + world.capacity.saturating_sub(world.used_bytes());
            let fits = bytes.len().min(room.saturating_sub(offset) as usize);
            // a write that is short without an error takes something
            let least = if error.is_some() { 0 } else { fits.min(1) };
            let n = if error.is_some() || world.hits(world.faults.short_write) {
                world.random.random_range(least..=fits)
            } else {
                fits
            };
            world.files[self.file].write(&bytes[..n], offset as usize);
            match error {
                Some(error) => Err(error),
                None if n == 0 && !bytes.is_empty() => Err(io::ErrorKind::StorageFull.into()),
                None => Ok(n),
            }
        })
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.call(|world, power_goes| {
            if !power_goes || world.random.random() {
                world.files[self.file].cache.resize(size as usize, 0);
            }
            if power_goes { Err(eio()) } else { Ok(()) }
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.call(|world, power_goes| {
            if power_goes || world.hits(world.faults.sync) {
                world.files[self.file].sync_badly(&mut world.random);
                return Err(eio());
            }
            world.files[self.file].sync();
            Ok(())
        })
    }
}
