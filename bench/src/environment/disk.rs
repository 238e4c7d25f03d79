//! The device under a directory, found through the mounts.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::fact;

/// The device under a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskFacts {
    /// File system and its mount options.
    pub file_system: String,
    /// Device as it was mounted.
    pub device: String,
    /// Its model.
    pub model: String,
    /// `write back` means that a flush is needed for durability, `write through` that it is not.
    pub write_cache: String,
    /// Scheduler of its queue, the active one in brackets.
    pub scheduler: String,
    /// How far the kernel reads ahead of who reads a file or touches its mapping, in KiB; empty in
    /// results of older releases.
    pub read_ahead_kb: String,
    /// 1 for spinning disks.
    pub rotational: String,
}

/// What the kernel tells of the device under a directory; none where it names no mount.
pub async fn disk_facts(directory: &Path) -> Option<DiskFacts> {
    let mount = mount_of(&fact("proc/self/mountinfo").await, directory)?;
    let block = format!("sys/dev/block/{}", mount.device_number);
    // A partition has no device and no queue of its own: its disk is one folder up.
    let of_disk = async |name: &str| match fact(&format!("{block}/{name}")).await {
        text if text.is_empty() => fact(&format!("{block}/../{name}")).await,
        text => text,
    };
    Some(DiskFacts {
        model: of_disk("device/model").await,
        write_cache: of_disk("queue/write_cache").await,
        scheduler: of_disk("queue/scheduler").await,
        read_ahead_kb: of_disk("queue/read_ahead_kb").await,
        rotational: of_disk("queue/rotational").await,
        file_system: mount.file_system,
        device: mount.source,
    })
}

/// The folder of the device under a directory, that of the whole disk for a partition: only disks
/// count their flushes.
pub async fn device_of(directory: &Path) -> Option<String> {
    let directory = std::path::absolute(directory).ok()?;
    let mount = mount_of(&fact("proc/self/mountinfo").await, &directory)?;
    let block = format!("sys/dev/block/{}", mount.device_number);
    match fact(&format!("{block}/partition")).await.is_empty() {
        true => Some(block),
        false => Some(format!("{block}/..")),
    }
}

/// A line of `mountinfo`.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device_number: String,
    file_system: String,
    source: String,
}

/// The mount that a directory lies on: of those that contain it, the longest, and of equal ones the
/// last. proc(5): id, parent, device, root, mount point, options, optional fields, a dash, type,
/// source, options of the super block.
fn mount_of(mountinfo: &str, directory: &Path) -> Option<Mount> {
    let parse = |line: &str| {
        let (before, behind) = line.split_once(" - ")?;
        let before: Vec<&str> = before.split(' ').collect();
        let behind: Vec<&str> = behind.split(' ').collect();
        let (point, options) = (before.get(4)?, before.get(5)?);
        let mount = Mount {
            device_number: (*before.get(2)?).to_owned(),
            file_system: format!("{} ({options})", behind.first()?),
            source: (*behind.get(1)?).to_owned(),
        };
        directory.starts_with(point).then_some((point.len(), mount))
    };
    mountinfo.lines().filter_map(parse).max_by_key(|(len, _)| *len).map(|(_, mount)| mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_lies_on_the_longest_mount_above_it() {
        let mountinfo = "\
21 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 21 0:5 / /proc rw - proc proc rw
23 21 8:1 / /data rw,noatime - xfs /dev/sda1 rw
24 21 8:2 / /database rw - xfs /dev/sdb1 rw";
        let device = |directory: &str| mount_of(mountinfo, Path::new(directory)).unwrap().source;
        assert_eq!(device("/data/store"), "/dev/sda1");
        assert_eq!(device("/var/lib"), "/dev/vda");
        let mount = mount_of(mountinfo, Path::new("/data")).unwrap();
        assert_eq!(mount.file_system, "xfs (rw,noatime)");
        assert_eq!(mount.device_number, "8:1");
    }
}
