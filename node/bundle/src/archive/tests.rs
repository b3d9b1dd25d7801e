//! What is packed is read again, equal projects are equal bytes, and what nobody packed is refused.

use proptest::prelude::*;

use super::*;
use crate::path::PathFault;

fn file(path: &str, contents: &str) -> Item {
    Item::File { path: path.to_owned(), executable: false, contents: contents.as_bytes().to_vec() }
}

fn link(path: &str, target: &str) -> Item {
    Item::Link { path: path.to_owned(), target: target.to_owned() }
}

fn packed(items: Vec<Item>) -> Vec<u8> {
    pack(items, &Limits::default()).expect("a bundle")
}

fn read(bytes: &[u8]) -> Result<Vec<Item>, Refusal> {
    let archive = Archive::open(bytes, &Limits::default())?;
    let item = |(entry, contents): (&Entry, &[u8])| match &entry.kind {
        Kind::File { executable, .. } => {
            Item::File { path: entry.path.clone(), executable: *executable, contents: contents.to_vec() }
        }
        Kind::Link { target } => Item::Link { path: entry.path.clone(), target: target.clone() },
    };
    Ok(archive.items().map(item).collect())
}

/// What nobody could pack: the bytes of entries as they are, without a judgement.
fn unjudged(entries: &[Entry], contents: &[u8]) -> Vec<u8> {
    [head(entries), contents.to_vec()].concat()
}

#[test]
fn the_bytes_are_pinned() {
    let script = Item::File { path: "b/run".to_owned(), executable: true, contents: b"#!".to_vec() };
    let bytes = packed(vec![link("l", "a.py"), script, file("a.py", "x = 1\n")]);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = concat!(
        "64737065782d62756e646c65", // dspex-bundle
        "01",                       // version
        "03000000",                 // entries
        "00",
        "0400",
        "612e7079",
        "0600000000000000", // a.py
        "01",
        "0500",
        "622f72756e",
        "0200000000000000", // b/run
        "02",
        "0100",
        "6c",
        "0400",
        "612e7079", // l -> a.py
        "78203d20310a",
        "2321",
    );
    assert_eq!(hex, expected);
}

#[test]
fn nothing_is_a_bundle_too() {
    assert_eq!(read(&packed(Vec::new())), Ok(Vec::new()));
}

#[test]
fn an_archive_that_is_cut_or_longer_is_refused() {
    let bytes = packed(vec![file("a.py", "x = 1\n"), link("l", "a.py")]);
    for end in 0..bytes.len() {
        assert!(matches!(read(&bytes[..end]), Err(Refusal::Damaged(_))), "{end} of {}", bytes.len());
    }
    assert!(matches!(read(&[bytes, vec![0]].concat()), Err(Refusal::Damaged(_))));
}

#[test]
fn other_bytes_other_versions_and_other_kinds_are_refused() {
    assert!(matches!(read(b"PK\x03\x04 and more than that"), Err(Refusal::Damaged(_))));
    let mut newer = packed(Vec::new());
    newer[MAGIC.len()] = 2;
    assert_eq!(read(&newer), Err(Refusal::Newer { found: 2, supported: 1 }));
    newer[MAGIC.len()] = 0;
    assert!(matches!(read(&newer), Err(Refusal::Damaged(_))));
    let mut device = packed(vec![file("a", "")]);
    device[MAGIC.len() + 5] = 3;
    assert!(matches!(read(&device), Err(Refusal::Damaged(why)) if why.contains("kind 3")));
}

#[test]
fn a_bomb_is_refused_by_what_it_promises() {
    let huge = Entry { path: "a".to_owned(), kind: Kind::File { bytes: 1 << 40, executable: false } };
    assert!(matches!(read(&unjudged(&[huge], b"")), Err(Refusal::TooLarge { bytes, .. }) if bytes == 1 << 40));
    let mut many = packed(Vec::new());
    many[MAGIC.len() + 1..].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(read(&many), Err(Refusal::TooManyFiles { files, .. }) if files == u64::from(u32::MAX)));
    let sums = [("a", u64::MAX), ("b", 2)]
        .map(|(path, bytes)| Entry { path: path.to_owned(), kind: Kind::File { bytes, executable: false } });
    assert!(matches!(read(&unjudged(&sums, b"")), Err(Refusal::TooLarge { .. })));
}

#[test]
fn a_hostile_list_is_judged_by_the_reader_too() {
    let entry = |path: &str| Entry { path: path.to_owned(), kind: Kind::File { bytes: 0, executable: false } };
    for path in ["../a", "/etc/cron.d/a", "a/../../b", "a\0", ""] {
        let refused = read(&unjudged(&[entry(path)], b"")).expect_err(path);
        assert!(matches!(refused, Refusal::Path { .. }), "{path:?}: {refused}");
    }
    let out = Entry { path: "a".to_owned(), kind: Kind::Link { target: "/etc".to_owned() } };
    assert!(matches!(read(&unjudged(std::slice::from_ref(&out), b"")), Err(Refusal::Link { .. })));
    let inside = Entry { path: "a".to_owned(), kind: Kind::Link { target: "b".to_owned() } };
    assert!(matches!(read(&unjudged(&[inside, entry("a/x")], b"")), Err(Refusal::Beneath { .. })));
    assert!(matches!(read(&unjudged(&[entry("b"), entry("a")], b"")), Err(Refusal::Order { .. })));
}

#[test]
fn a_name_that_is_no_text_is_refused() {
    let mut bytes = packed(vec![file("ab", "")]);
    let place = bytes.windows(2).position(|pair| pair == b"ab").expect("the name");
    bytes[place] = 0xff;
    assert!(matches!(read(&bytes), Err(Refusal::Path { fault: PathFault::NotUtf8, .. })));
}

#[test]
fn directories_are_where_files_are() {
    let bytes = packed(vec![file("a/b/c.py", ""), file("d", "")]);
    let archive = Archive::open(&bytes, &Limits::default()).expect("a bundle");
    let has = |path| archive.has_directory(path);
    assert!(has("") && has("a") && has("a/b"));
    assert!(!has("d") && !has("a/b/c.py") && !has("b") && !has("a/"));
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    // Digits and one case, so that names collide by being equal only.
    let path = "[a-c0-2]{1,3}(/[a-c0-2]{1,3}){0,2}";
    let file = (path, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..64))
        .prop_map(|(path, executable, contents)| Item::File { path, executable, contents });
    let link = (path, "[a-c0-2]{1,3}").prop_map(|(path, target)| Item::Link { path, target });
    proptest::collection::vec(prop_oneof![3 => file, 1 => link], 0..12)
}

proptest! {
    #[test]
    fn what_is_packed_comes_back_in_order_whatever_order_it_came_in(items in items(), seed in any::<u64>()) {
        let Ok(bytes) = pack(items.clone(), &Limits::default()) else { return Ok(()) };
        let mut shuffled = items.clone();
        let length = shuffled.len().max(1);
        shuffled.rotate_left(seed as usize % length);
        prop_assert_eq!(pack(shuffled, &Limits::default()), Ok(bytes.clone()));
        let mut sorted = items;
        sorted.sort_by(|one, other| one.path().cmp(other.path()));
        prop_assert_eq!(read(&bytes), Ok(sorted));
    }

    #[test]
    fn a_reader_never_fails_in_another_way_than_by_a_refusal(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
        let start: Vec<u8> = [MAGIC, &[VERSION]].concat();
        bytes.splice(0..0, start);
        let _ = read(&bytes);
    }

    #[test]
    fn a_byte_that_is_changed_is_refused_or_read_as_something_that_was_judged(items in items(), at in any::<usize>(), by in 1u8..) {
        let Ok(mut bytes) = pack(items, &Limits::default()) else { return Ok(()) };
        let at = at % bytes.len();
        bytes[at] = bytes[at].wrapping_add(by);
        if let Ok(read) = read(&bytes) {
            prop_assert_eq!(pack(read, &Limits::default()), Ok(bytes));
        }
    }
}
