//! Projects come from the blobs whenever they are wanted, and are shared while they are as they were.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dspex_bundle::{Item, pack};
use dspex_storage::{DataDirectory, Options};
use tempfile::TempDir;

use super::*;

struct Node {
    directory: TempDir,
    data: DataDirectory,
    bundles: Bundles,
}

impl Node {
    fn new(settings: BundleSettings) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let data = DataDirectory::open(directory.path().join("data"), &Options::embedded()).expect("a data directory");
        let bundles = Bundles::open(&directory.path().join("bundles"), settings);
        Self { directory, data, bundles }
    }

    fn put(&self, text: &str) -> Digest {
        let file = Item::File { path: "src/qa.py".to_owned(), executable: false, contents: text.as_bytes().to_vec() };
        self.data.blobs().put(&pack(vec![file], &Limits::default()).expect("a bundle")).expect("stored")
    }

    async fn get(&self, digest: Digest) -> Result<Arc<Bundle>, SubmitError> {
        self.bundles.get(digest, self.data.blobs()).await
    }

    fn unpacked(&self) -> usize {
        fs::read_dir(self.directory.path().join("bundles")).map_or(0, Iterator::count)
    }
}

fn read(bundle: &Bundle) -> String {
    fs::read_to_string(bundle.root().join("src/qa.py")).expect("unpacked")
}

#[tokio::test]
async fn a_project_is_unpacked_once_and_shared() {
    let node = Node::new(BundleSettings::default());
    let digest = node.put("x = 1");
    let (one, other) = (node.get(digest).await.expect("unpacked"), node.get(digest).await.expect("there"));
    assert_eq!((one.root(), read(&one).as_str()), (other.root(), "x = 1"));
    assert!(
        one.has_directory("") && one.has_directory("src") && !one.has_directory("src/qa.py") && !one.has_directory("x")
    );
    assert_eq!(node.unpacked(), 1);
}

#[tokio::test]
async fn one_that_something_wrote_into_is_unpacked_anew_and_its_users_keep_theirs() {
    let node = Node::new(BundleSettings::default());
    let digest = node.put("x = 1");
    let spoiled = node.get(digest).await.expect("unpacked");
    let source = spoiled.root().join("src");
    fs::set_permissions(&source, fs::Permissions::from_mode(0o700)).expect("a mode");
    fs::write(source.join("extra.py"), "").expect("written");
    let fresh = node.get(digest).await.expect("unpacked");
    assert_ne!(fresh.root(), spoiled.root());
    assert!(!fresh.root().join("src/extra.py").exists() && spoiled.root().exists());
    drop(spoiled);
    node.get(node.put("y = 1")).await.expect("unpacked");
    assert_eq!(node.unpacked(), 2, "the spoiled one went as soon as nobody had it");
}

#[tokio::test]
async fn the_one_that_was_not_used_the_longest_makes_room_and_one_in_use_never_does() {
    let room_for_two = 2 * (2 * FILE_COST_BYTES + 8);
    let node = Node::new(BundleSettings { cache_max: room_for_two, ..BundleSettings::default() });
    let digests = [node.put("first"), node.put("second"), node.put("third")];
    let first = node.get(digests[0]).await.expect("unpacked");
    node.get(digests[1]).await.expect("unpacked");
    let third = node.get(digests[2]).await.expect("unpacked");
    assert_eq!((read(&first).as_str(), read(&third).as_str(), node.unpacked()), ("first", "third", 2));
    let full = node.get(digests[1]).await.expect_err("both are in use");
    assert_eq!(full.kind, SubmitErrorKind::PoolFull);
    assert!(full.message.contains("bundles.cache_max"), "{full}");
    drop(first);
    assert_eq!(read(&node.get(digests[1]).await.expect("unpacked again")), "second");
}

#[tokio::test]
async fn what_is_no_bundle_is_refused_and_leaves_nothing() {
    let node = Node::new(BundleSettings { size_max: 100, ..BundleSettings::default() });
    let missing = node.get(Digest::of(b"nowhere")).await.expect_err("missing");
    assert_eq!(missing.kind, SubmitErrorKind::BundleMissing);
    let other = node.data.blobs().put(b"something else").expect("stored");
    assert_eq!(node.get(other).await.expect_err("no bundle").kind, SubmitErrorKind::BundleInvalid);
    let large = node.put(&"x".repeat(101));
    assert_eq!(node.get(large).await.expect_err("too large").kind, SubmitErrorKind::TooLarge);
    assert_eq!(node.unpacked(), 0);
}

#[tokio::test]
async fn a_new_life_trusts_nothing_that_an_earlier_one_left() {
    let node = Node::new(BundleSettings::default());
    let digest = node.put("x = 1");
    let left = node.get(digest).await.expect("unpacked").root().to_owned();
    fs::create_dir_all(node.directory.path().join("bundles/.half.new/a")).expect("a directory");
    let again = Bundles::open(&node.directory.path().join("bundles"), BundleSettings::default());
    assert!(!left.exists() && node.unpacked() == 0);
    assert_eq!(read(&again.get(digest, node.data.blobs()).await.expect("unpacked")), "x = 1");
}
