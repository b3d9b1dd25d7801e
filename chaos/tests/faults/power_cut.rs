use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use dspex_chaos::fault::{Disk, kill, power_cut};

use crate::skip::is_available;

const RECORDS: usize = 200;

/// Appends records to a file that is there already, each acknowledged once `acknowledge` has returned.
fn append(path: &Path, acknowledge: impl Fn(&File)) -> usize {
    let mut file = OpenOptions::new().append(true).open(path).expect("it was made before");
    for number in 0..RECORDS {
        file.write_all(format!("{number:07}\n").as_bytes()).expect("written");
        acknowledge(&file);
    }
    RECORDS
}

fn survivors(path: &Path) -> usize {
    let text = fs::read_to_string(path).expect("readable again");
    text.lines().zip(0..).take_while(|(line, number)| *line == format!("{number:07}")).count()
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_nothing_else() {
    if !is_available("power cut", power_cut::probe()) {
        return;
    }
    let mut disk = Disk::new(64).expect("a disk");
    let (synced, unsynced) = (disk.path().join("synced"), disk.path().join("unsynced"));
    for path in [&synced, &unsynced] {
        File::create(path).and_then(|file| file.sync_all()).expect("made");
    }
    File::open(disk.path()).and_then(|directory| directory.sync_all()).expect("their names are synced");
    let promised = append(&synced, |file| file.sync_data().expect("synced"));
    // The control: acknowledged without a sync, and lost. Else this would not be a power cut.
    let careless = append(&unsynced, |_| {});
    power_cut::cut_power(&disk).expect("cut");
    let error = File::open(&synced).and_then(|file| file.sync_all()).expect_err("the disk is gone");
    assert_eq!(error.raw_os_error(), Some(5), "EIO: {error}");
    disk.mount_again().expect("the power is back");
    let (kept, lost) = (survivors(&synced), careless - survivors(&unsynced));
    eprintln!("synced: {kept} of {promised} kept; not synced: {lost} of {careless} lost");
    assert_eq!((kept, lost), (promised, careless));
    append(&unsynced, |file| file.sync_data().expect("the disk works again"));
}

#[test]
fn a_disk_comes_back_once_the_processes_on_it_are_killed() {
    if !is_available("power cut under a process", power_cut::probe()) {
        return;
    }
    let mut disk = Disk::new(16).expect("a disk");
    let mut child = Command::new("sleep").arg("1000").current_dir(disk.path()).spawn().expect("started");
    power_cut::cut_power(&disk).expect("cut");
    kill::kill(child.id()).expect("killed");
    child.wait().expect("ended");
    disk.mount_again().expect("nobody is on it");
    fs::write(disk.path().join("file"), "written").expect("it works again");
}

#[test]
fn a_disk_leaves_nothing_behind() {
    if !is_available("disk", Disk::probe()) {
        return;
    }
    let disk = Disk::new(16).expect("a disk");
    let path = disk.path();
    let is_mounted = || {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("readable");
        mounts.contains(&*path.to_string_lossy())
    };
    let has_device = || {
        let devices = fs::read_dir("/sys/block").expect("readable").flatten();
        let mut files = devices.filter_map(|device| fs::read_to_string(device.path().join("loop/backing_file")).ok());
        let image = path.with_file_name("image");
        files.any(|file| file.trim() == image.to_string_lossy())
    };
    assert!(is_mounted() && has_device() && path.exists());
    drop(disk);
    assert!(!is_mounted() && !has_device() && !path.exists());
}
