use std::fs::{self, File};
use std::io::{ErrorKind, Write};

use dspex_chaos::fault::Disk;
use dspex_chaos::fault::read_only::{self, ReadOnly};

use crate::skip::is_available;

#[test]
fn a_read_only_disk_takes_no_writes_until_it_is_writable_again() {
    if !is_available("read-only disk", read_only::probe()) {
        return;
    }
    let disk = Disk::new(16).expect("a disk");
    let path = disk.path().join("file");
    fs::write(&path, "before").expect("writable");
    let fault = ReadOnly::begin(&disk).expect("remounted");
    assert_eq!(fs::write(&path, "while").expect_err("it is read-only").kind(), ErrorKind::ReadOnlyFilesystem);
    assert_eq!(fs::read_to_string(&path).expect("readable"), "before");
    fault.end().expect("remounted");
    fs::write(&path, "after").expect("writable again");
    drop(ReadOnly::begin(&disk).expect("remounted"));
    fs::write(&path, "dropped").expect("writable again");
}

#[test]
fn an_emergency_stops_writers_in_the_middle_of_their_files() {
    if !is_available("emergency of a disk", read_only::probe()) {
        return;
    }
    let mut disk = Disk::new(16).expect("a disk");
    let mut open = File::create(disk.path().join("open")).expect("writable");
    open.write_all(b"before").and_then(|()| open.sync_all()).expect("writable");
    let refused = ReadOnly::begin(&disk).expect_err("somebody writes");
    assert!(refused.to_string().contains("busy"), "{refused}");
    read_only::emergency(&disk).expect("an error of the disk");
    let error = open.write_all(b"while").expect_err("it is read-only");
    assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem, "{error}");
    drop(open);
    disk.mount_again().expect("writable again");
    assert_eq!(fs::read_to_string(disk.path().join("open")).expect("readable"), "before");
}
