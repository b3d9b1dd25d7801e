//! Blobs of every size come back as they went in, and damage is noticed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use dspex_model::Digest;
use dspex_storage::{DataDirectory, Options};

const MIB: usize = 1024 * 1024;

fn open(path: &std::path::Path) -> DataDirectory {
    DataDirectory::open(path, &Options::embedded()).expect("the directory opens")
}

/// Bytes that do not compress.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length);
    for _ in 0..length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.push(state as u8);
    }
    bytes
}

#[test]
fn values_of_every_size_come_back_after_reopening() {
    let directory = tempfile::tempdir().expect("a directory");
    let sizes = [0, 1, 20_000, MIB - 1, MIB, MIB + 1, 2 * MIB, 5 * MIB + 3];
    let values: Vec<Vec<u8>> = sizes.iter().map(|size| noise(*size, *size as u64)).collect();
    let data = open(directory.path());
    let digests = data.blobs().put_many(&values).expect("stored");
    assert_eq!(digests, values.iter().map(|value| Digest::of(value)).collect::<Vec<_>>());
    drop(data);

    let data = open(directory.path());
    for (value, digest) in values.iter().zip(&digests) {
        let read = data.blobs().get(digest).expect("readable");
        assert!(read.as_ref() == Some(value), "{} bytes", value.len());
        let reader = data.blobs().reader(digest).expect("readable").expect("there");
        assert_eq!(reader.length(), value.len() as u64);
    }
    let absent = Digest::of(b"absent");
    assert!(!data.blobs().contains(&absent).expect("readable"));
    assert_eq!(data.blobs().get(&absent).expect("readable"), None);
}

#[test]
fn a_value_in_uneven_pieces_equals_the_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    let value = noise(3 * MIB + 77, 5);
    let mut writer = data.blobs().writer();
    for piece in value.chunks(99_991) {
        writer.write(piece).expect("written");
    }
    let digest = writer.finish().expect("stored");
    assert_eq!(digest, Digest::of(&value));
    let chunks: Vec<_> = data.blobs().reader(&digest).expect("readable").expect("there").collect();
    assert_eq!(chunks.len(), 4);
    let whole: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.expect("whole")).collect();
    assert!(whole == value);
}

#[test]
fn equal_and_deleted_values_leave_no_chunks_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    let value = noise(3 * MIB, 1);
    let digest = data.blobs().put(&value).expect("stored");
    assert_eq!(data.blobs().put(&value).expect("stored"), digest);
    let mut abandoned = data.blobs().writer();
    abandoned.write(&noise(2 * MIB, 2)).expect("written");
    drop(abandoned);
    assert_eq!(chunks_on_disk(data, directory.path()), 3);

    let data = open(directory.path());
    data.blobs().delete_many(&[digest]).expect("deleted");
    data.blobs().delete_many(&[digest]).expect("deleted twice");
    assert_eq!(data.blobs().get(&digest).expect("readable"), None);
    assert_eq!(chunks_on_disk(data, directory.path()), 0);
}

/// The files of large values, and the bytes in them.
fn value_files(path: &std::path::Path) -> (BTreeSet<PathBuf>, u64) {
    let all = files_under(path);
    let files: BTreeSet<PathBuf> =
        all.into_iter().filter(|file| file.extension().is_some_and(|end| end == "blob")).collect();
    let bytes = files.iter().map(|file| file.metadata().map_or(0, |file| file.len())).sum();
    (files, bytes)
}

fn files_under(path: &std::path::Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).expect("readable").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|entry| if entry.is_dir() { files_under(&entry) } else { vec![entry] }).collect()
}

#[test]
fn space_of_deleted_values_goes_back_to_the_disk_and_nothing_else_is_copied() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    let blobs = data.blobs();
    let stored = |number: u64| blobs.put(&noise(4 * MIB, number)).expect("stored");
    let mut digests: Vec<Digest> = (1..=20).map(stored).collect();
    let (early, _) = value_files(directory.path());
    assert!(!early.is_empty(), "memtables were written");
    digests.extend((21..=40).map(stored));
    let (files, _) = value_files(directory.path());
    assert!(early.is_subset(&files), "what lives was copied, though nothing was deleted");
    assert_eq!(blobs.reclaim().expect("looked"), None, "there is nothing to give back");

    // Of each file something lives.
    let (gone, kept): (Vec<_>, Vec<_>) = digests.iter().enumerate().partition(|(number, _)| number % 4 != 0);
    let gone: Vec<Digest> = gone.into_iter().map(|(_, digest)| *digest).collect();
    assert_eq!(blobs.delete_many(&gone).expect("deleted"), 30);
    assert!(blobs.reclaim().expect("done").is_some());
    let (_, left) = value_files(directory.path());
    assert!(left < 80 * MIB as u64, "{left} bytes are on the disk yet, for ten values of 4 MiB");
    assert_eq!(blobs.reclaim().expect("looked"), None, "once");
    for (number, digest) in kept {
        assert!(blobs.get(digest).expect("readable") == Some(noise(4 * MIB, number as u64 + 1)));
    }
}

#[test]
fn an_upload_cut_short_is_removed_at_the_next_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    let kept = data.blobs().put(&noise(2 * MIB, 3)).expect("stored");
    let mut writer = data.blobs().writer();
    writer.write(&noise(4 * MIB, 4)).expect("written");
    // As a crash would: nothing of the writer's own clean-up runs.
    let handle = data.blobs().clone();
    std::mem::forget(writer);
    data.blobs().put(b"a later synced value").expect("stored");
    let before = raw_copy(&handle, directory.path());
    drop((data, handle));

    let data = open(&before);
    assert!(data.blobs().get(&kept).expect("readable").is_some());
    assert_eq!(chunks_on_disk(data, &before), 2);
}

/// The directory as a crash would leave it now; the forgotten writer keeps the original locked.
fn raw_copy(_handle: &dspex_storage::BlobStore, path: &std::path::Path) -> PathBuf {
    let copy = path.join("copy");
    let status = std::process::Command::new("sh")
        .args(["-c", "mkdir \"$1\" && cd \"$0\" && cp -r FORMAT log state blobs snapshots \"$1\""])
        .args([path, &copy])
        .status()
        .expect("sh runs");
    assert!(status.success());
    copy
}

fn chunks_on_disk(data: DataDirectory, path: &std::path::Path) -> usize {
    drop(data);
    let db = rocksdb::DB::open_for_read_only(&rocksdb::Options::default(), path.join("blobs"), false).expect("opens");
    db.iterator(rocksdb::IteratorMode::Start).filter(|item| item.as_ref().is_ok_and(|(key, _)| key[0] == b'c')).count()
}

#[test]
fn a_damaged_value_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    let small = data.blobs().put(b"small").expect("stored");
    let large = data.blobs().put(&noise(2 * MIB, 9)).expect("stored");
    drop(data);
    {
        let db = rocksdb::DB::open_default(directory.path().join("blobs")).expect("opens");
        let mut entries = Vec::new();
        for item in db.iterator(rocksdb::IteratorMode::Start) {
            let (key, value) = item.expect("readable");
            if key[0] != b's' && !(key[0] == b'b' && value[0] == 1) {
                entries.push((key, value));
            }
        }
        for (key, mut value) in entries {
            *value.last_mut().expect("not empty") ^= 1;
            db.put(key, value).expect("written");
        }
    }
    let data = open(directory.path());
    for digest in [small, large] {
        let error = data.blobs().get(&digest).expect_err("damage is noticed");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    }
}

#[test]
fn many_threads_store_equal_and_different_values() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = open(directory.path());
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let blobs = data.blobs().clone();
            scope.spawn(move || {
                blobs.put(&noise(2 * MIB, 42)).expect("stored");
                blobs.put_many(&[noise(10, thread), noise(10, 1000)]).expect("stored");
            });
        }
    });
    assert!(data.blobs().get(&Digest::of(&noise(2 * MIB, 42))).expect("readable").is_some());
    assert_eq!(chunks_on_disk(data, directory.path()), 2);
}
