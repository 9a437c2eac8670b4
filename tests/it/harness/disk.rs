//! A disk that is full when a test says so, with the gateway's store on it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Gateway;

/// How the store comes to have no room.
pub enum Disk {
    /// A file system of its own, filled to its last block: writes fail with ENOSPC.
    Mounted(PathBuf),
    /// A limit on how far the gateway may write into any file: writes fail with EFBIG, as on a broken disk.
    Limited,
}

impl Disk {
    /// A file system of 16 MiB under the gateway's `disk`, where this may be mounted; else a limit. Before the start.
    pub fn mounted(gateway: &mut Gateway) -> Self {
        let folder = gateway.folder().join("disk");
        std::fs::create_dir(&folder).unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=16m", "tollgate-test"];
        let mounted = Command::new("mount").args(mount).arg(&folder).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Self::Mounted(folder);
        }
        println!("this user may mount nothing: the disk is limited instead");
        Self::limited(gateway)
    }

    /// A limit. Before the start.
    pub fn limited(gateway: &mut Gateway) -> Self {
        std::fs::create_dir_all(gateway.folder().join("disk")).unwrap();
        // The signal that comes with it would end the process, and it is inherited as ignored.
        gateway.set_launcher(&["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
        Self::Limited
    }

    /// Leaves no room.
    pub fn fill(&self, gateway: &Gateway) {
        match self {
            Self::Mounted(folder) => {
                let mut filler = std::fs::File::create(filler(folder)).unwrap();
                while filler.write_all(&[0; 4096]).is_ok() {}
            }
            Self::Limited => limit(gateway, "1"),
        }
    }

    /// Gives room again.
    pub fn free(&self, gateway: &Gateway) {
        match self {
            Self::Mounted(folder) => std::fs::remove_file(filler(folder)).unwrap(),
            Self::Limited => limit(gateway, "unlimited"),
        }
    }
}

fn filler(folder: &Path) -> PathBuf {
    folder.join("filler")
}

fn limit(gateway: &Gateway, bytes: &str) {
    let limit = format!("--fsize={bytes}:unlimited");
    let set = Command::new("prlimit").arg("--pid").arg(gateway.pid().to_string()).arg(limit).status().unwrap();
    assert!(set.success());
}

/// What is on it is verified before; only then may the file system go.
impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Mounted(folder) = self {
            // Lazily: the gateway may still have its files open.
            let _ = Command::new("umount").arg("--lazy").arg(folder).status();
        }
    }
}
