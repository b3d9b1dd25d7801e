use std::fs;
use std::io::ErrorKind;

use dspex_chaos::fault::Disk;
use dspex_chaos::fault::full_disk::{self, FullDisk};

use crate::skip::is_available;

#[test]
fn a_full_disk_takes_no_byte_until_there_is_room_again() {
    if !is_available("full disk", full_disk::probe()) {
        return;
    }
    let disk = Disk::new(64).expect("a disk");
    fs::write(disk.path().join("before"), "kept").expect("there is room");
    for _ in 0..2 {
        let full = FullDisk::fill(&disk).expect("filled");
        let error = fs::write(disk.path().join("while"), vec![1; 4096]).expect_err("it is full");
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        assert_eq!(fs::read_to_string(disk.path().join("before")).expect("readable"), "kept");
        full.end();
        fs::write(disk.path().join("after"), vec![1; 32 << 20]).expect("there is room again");
        fs::remove_file(disk.path().join("after")).expect("removed");
    }
}
