//! A disk that is soon full.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A file system of its own in memory, of a few megabytes; gone when dropped.
pub struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// Mounts one. `None`, and a sentence on standard error, where that is not allowed.
    pub fn mount(megabytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let size = format!("size={megabytes}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { dir }),
            Ok(output) => refused(&String::from_utf8_lossy(&output.stderr)),
            Err(error) => refused(&error.to_string()),
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Fills it to the last byte. [`SmallDisk::relieve`] gives the space back.
    pub fn fill(&self) {
        let zeros = vec![0; 64 << 10];
        let mut file = std::fs::File::create(self.filler()).expect("an empty file takes no space");
        for size in [64 << 10, 1 << 10, 1] {
            while std::io::Write::write_all(&mut file, &zeros[..size]).is_ok() {}
        }
    }

    /// Gives the space back that [`SmallDisk::fill`] has taken.
    pub fn relieve(&self) {
        std::fs::remove_file(self.filler()).expect("the filler is there");
    }

    fn filler(&self) -> PathBuf {
        self.dir.path().join("filler")
    }
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests should know what was not tested")]
fn refused(why: &str) -> Option<SmallDisk> {
    eprintln!("NOT TESTED: a full disk. Mounting a tmpfs is not allowed here: {}", why.trim());
    None
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // lazily: a process that was told to end may hold a file for a moment
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}
