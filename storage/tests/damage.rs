//! A log that was damaged behind its back says so when it is opened, naming the entry; nothing is skipped or guessed.

use std::path::Path;
use std::sync::mpsc::channel;

use dspex_storage::{DataDirectory, OpenError, Options};

fn open(path: &Path) -> Result<DataDirectory, OpenError> {
    DataDirectory::open(path, &Options::embedded())
}

/// A closed directory with entries 1 to 20.
fn written(path: &Path) {
    let data = open(path).expect("the directory opens");
    let entries: Vec<_> = (1..21).map(|index| (index, vec![index as u8; 40])).collect();
    let (sender, receiver) = channel();
    data.log().append(&entries, Box::new(move |result| sender.send(result).expect("the test waits")));
    receiver.recv().expect("acknowledged").expect("appended");
    data.close().expect("the directory closes");
}

/// Changes a stored entry behind the log's back.
fn change(path: &Path, index: u64, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
    let key = [b"e", &index.to_be_bytes()[..]].concat();
    let db = rocksdb::DB::open_default(path.join("log")).expect("opens");
    let value = db.get(&key).expect("readable").expect("there");
    match change(value) {
        Some(value) => db.put(&key, value).expect("written"),
        None => db.delete(&key).expect("deleted"),
    }
}

#[test]
fn a_flipped_bit_in_any_entry_is_a_clear_error_at_the_start() {
    for entry in [1, 9, 20] {
        let directory = tempfile::tempdir().expect("a directory");
        written(directory.path());
        change(directory.path(), entry, |mut value| {
            *value.last_mut().expect("not empty") ^= 4;
            Some(value)
        });
        let error = open(directory.path()).map(|_| ()).expect_err("the entry is damaged").to_string();
        assert!(error.contains(&format!("log entry {entry} fails its checksum")), "{error}");
        assert!(error.contains("restore"), "{error}");
    }
}

#[test]
fn a_missing_entry_is_noticed() {
    let directory = tempfile::tempdir().expect("a directory");
    written(directory.path());
    change(directory.path(), 17, |_| None);
    let error = open(directory.path()).map(|_| ()).expect_err("there is a hole").to_string();
    assert!(error.contains("log entries between 16 and 18 are missing"), "{error}");
}
