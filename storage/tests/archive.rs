//! The file of a saved snapshot: what goes in comes out, and nothing that is cut, flipped or longer is taken for whole.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use dspex_model::{Change, Digest, NodeId};
use dspex_storage::{
    ArchiveEnd, ArchiveHeader, ArchivePieces, ArchiveReader, DataDirectory, Options, SnapshotFile, SnapshotHeader,
};
use proptest::prelude::*;

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;
type Blobs = BTreeMap<Digest, Vec<u8>>;

/// All that an archive holds.
#[derive(Debug, PartialEq)]
struct Contents {
    header: ArchiveHeader,
    state: (SnapshotHeader, Pairs),
    blobs: Blobs,
}

fn header() -> ArchiveHeader {
    ArchiveHeader {
        cluster_id: Some("7a6d3a5e-3f4f-4c0e-9f0f-2a51b1d9c001".to_owned()),
        node_id: NodeId(7),
        term: 3,
        index: 99,
        is_confirmed: true,
        log_time_ms: 1_700_000_000_000,
        saved_ms: 1_700_000_000_123,
        program: "0.1.0".to_owned(),
    }
}

/// An archive of these pairs and blobs.
fn archive(pairs: &Pairs, blobs: &[Vec<u8>]) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a directory");
    let data = DataDirectory::open(directory.path(), &Options::embedded()).expect("the directory opens");
    let put = |(key, value): (&Vec<u8>, &Vec<u8>)| Change::Put { key: key.clone(), value: value.clone() };
    let changes: Vec<Change> = pairs.iter().map(put).collect();
    data.state().write(&changes, b"position", Some(b"members")).expect("written");
    let part = data.snapshots().part();
    data.state().freeze().expect("frozen").write_to(&part).expect("written");
    let state = SnapshotFile::open(&part).expect("opened");
    let digests = data.blobs().put_many(blobs).expect("stored").into_iter().collect();
    let hold = data.blobs().hold();
    let pieces = ArchivePieces::new(&header(), state, digests, data.blobs().clone(), hold).expect("begun");
    let pieces: Vec<Vec<u8>> = pieces.collect::<io::Result<_>>().expect("whole");
    assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() < 2 << 20), "pieces are bounded");
    pieces.concat()
}

fn read(file: &Path) -> io::Result<(Contents, ArchiveEnd)> {
    let archive = ArchiveReader::open(file)?;
    let header = archive.header().clone();
    let (mut pairs, mut blobs, mut growing) = (Pairs::new(), Blobs::new(), Vec::new());
    let (position, archive) = archive.state(|key, value| {
        pairs.insert(key.to_vec(), value.to_vec());
        Ok(())
    })?;
    let end = archive.read(|piece| {
        assert_eq!(piece.offset, growing.len() as u64);
        growing.extend_from_slice(piece.bytes);
        if piece.is_last() {
            assert_eq!(piece.length, growing.len() as u64);
            blobs.insert(piece.digest, std::mem::take(&mut growing));
        }
        Ok(())
    })?;
    Ok((Contents { header, state: (position, pairs), blobs }, end))
}

fn read_bytes(bytes: &[u8]) -> io::Result<(Contents, ArchiveEnd)> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    read(file.path())
}

fn small() -> (Pairs, Vec<Vec<u8>>) {
    let pairs = Pairs::from([(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), Vec::new())]);
    (pairs, vec![b"a blob".to_vec(), Vec::new(), b"another".to_vec()])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out(
        pairs in prop::collection::btree_map(
            prop::collection::vec(any::<u8>(), 1..20),
            prop::collection::vec(any::<u8>(), 0..200),
            0..50,
        ),
        lengths in prop::collection::vec(prop_oneof![4 => 0usize..2000, 1 => 900_000usize..2_200_000], 0..8),
    ) {
        let blobs: Vec<Vec<u8>> =
            lengths.iter().enumerate().map(|(number, length)| vec![number as u8; *length]).collect();
        let bytes = archive(&pairs, &blobs);
        let (contents, end) = read_bytes(&bytes).expect("whole");
        let expected: Blobs = blobs.into_iter().map(|blob| (Digest::of(&blob), blob)).collect();
        let (count, held) = (expected.len() as u64, expected.values().map(Vec::len).sum::<usize>() as u64);
        let position = SnapshotHeader { applied: Some(b"position".to_vec()), membership: Some(b"members".to_vec()) };
        prop_assert_eq!(contents, Contents { header: header(), state: (position, pairs), blobs: expected });
        let (before, digest) = bytes.split_at(bytes.len() - 32);
        prop_assert_eq!(end.digest, Digest::of(before));
        prop_assert_eq!(&end.digest.0[..], digest);
        prop_assert_eq!((end.blobs, end.blob_bytes, end.bytes), (count, held, bytes.len() as u64));
    }
}

#[test]
fn an_archive_that_is_cut_anywhere_is_refused() {
    let (pairs, blobs) = small();
    let bytes = archive(&pairs, &blobs);
    read_bytes(&bytes).expect("the control: whole");
    for length in 0..bytes.len() {
        let error = read_bytes(&bytes[..length]).expect_err("it is cut");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{length} bytes: {error}");
    }
    let longer = [&bytes[..], &[0]].concat();
    let error = read_bytes(&longer).expect_err("it is longer").to_string();
    assert!(error.contains("bytes after the end"), "{error}");
}

#[test]
fn a_flipped_bit_anywhere_is_noticed_and_told() {
    let (pairs, blobs) = small();
    let bytes = archive(&pairs, &blobs);
    let version = 8..10;
    for position in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 1 << (position % 8);
        let error = read_bytes(&damaged).expect_err("it is damaged");
        let of_newer = version.contains(&position) && error.kind() == io::ErrorKind::Unsupported;
        assert!(of_newer || error.kind() == io::ErrorKind::InvalidData, "byte {position}: {error:?}");
    }
    let told = |position: usize| {
        let mut damaged = bytes.clone();
        damaged[position] ^= 0x10;
        read_bytes(&damaged).expect_err("it is damaged").to_string()
    };
    let state = bytes.windows(8).position(|window| window == b"DSPXSNAP").expect("a state");
    let blob = bytes.windows(6).position(|window| window == b"a blob").expect("a blob");
    for (position, what) in [
        (0, "does not begin as a snapshot"),
        (20, "header fails its checksum"),
        (state - 12, "length of the snapshot's state"),
        (state, "not a snapshot file"),
        (blob, "does not match its digest"),
        (blob - 4, "head of blob number"),
        (bytes.len() - 1, "as a whole fails its digest"),
    ] {
        let error = told(position);
        assert!(error.contains(what), "byte {position}: {error}");
    }
}

#[test]
fn the_first_bytes_are_pinned_and_a_newer_format_is_refused() {
    let (pairs, blobs) = small();
    let bytes = archive(&pairs, &blobs);
    let text = "cluster = 7a6d3a5e-3f4f-4c0e-9f0f-2a51b1d9c001\nnode = 7\nterm = 3\nindex = 99\nconfirmed = true\n\
                log_time_ms = 1700000000000\nsaved_ms = 1700000000123\nprogram = 0.1.0\n";
    let start = [&b"DSPXARCH\x01\x00"[..], &[text.len() as u8, 0, 0, 0], text.as_bytes()].concat();
    assert_eq!(bytes[..start.len()], start[..]);
    let state = start.len() + 4 + 8 + 4;
    assert_eq!(bytes[state..state + 8], *b"DSPXSNAP");
    let mut newer = bytes;
    newer[8] = 2;
    let error = read_bytes(&newer).expect_err("it is newer");
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("use a newer dspex"), "{error}");
}

#[test]
fn nothing_is_freed_while_somebody_holds_the_blobs() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = DataDirectory::open(directory.path(), &Options::embedded()).expect("the directory opens");
    let digest = data.blobs().put(b"held").expect("stored");
    let (first, second) = (data.blobs().hold(), data.blobs().hold());
    assert_eq!(data.blobs().delete_many(&[digest]).expect("answered"), 0);
    drop(first);
    assert_eq!(data.blobs().delete_many(&[digest]).expect("answered"), 0);
    assert!(data.blobs().contains(&digest).expect("readable"));
    drop(second);
    assert_eq!(data.blobs().delete_many(&[digest]).expect("freed"), 1);
}

#[test]
fn an_archive_without_one_of_its_blobs_has_no_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = DataDirectory::open(directory.path(), &Options::embedded()).expect("the directory opens");
    let part = data.snapshots().part();
    data.state().freeze().expect("frozen").write_to(&part).expect("written");
    let state = SnapshotFile::open(&part).expect("opened");
    let missing = [Digest::of(b"nowhere")].into_iter().collect();
    let hold = data.blobs().hold();
    let mut pieces = ArchivePieces::new(&header(), state, missing, data.blobs().clone(), hold).expect("begun");
    let failed = pieces.find_map(Result::err).expect("it fails");
    assert_eq!(failed.kind(), io::ErrorKind::NotFound);
    assert!(pieces.next().is_none(), "nothing comes after it");
}
