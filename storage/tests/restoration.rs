//! A directory that is made of something else appears whole or not at all, and nobody takes its place meanwhile.

use std::fs;
use std::path::Path;

use dspex_model::NodeId;
use dspex_storage::{DataDirectory, OpenError, Options, Restoration};

const CLUSTER: &str = "7a6d3a5e-3f4f-4c0e-9f0f-2a51b1d9c001";
const NODE: NodeId = NodeId(7);

fn open(path: &Path) -> Result<DataDirectory, OpenError> {
    DataDirectory::open(path, &Options::cluster(NodeId(1)))
}

#[test]
fn a_finished_directory_is_a_nodes_own_with_what_was_put_in() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("below/data");
    let restoration = Restoration::begin(&path, NODE, CLUSTER).expect("begun");
    let digest = restoration.data().blobs().put(b"a blob").expect("stored");
    assert!(!path.exists(), "it has its name at the end only");
    restoration.finish().expect("finished");
    let data = open(&path).expect("it opens");
    let identity = data.identity();
    assert_eq!((identity.node_id, identity.cluster_id.as_deref()), (NODE, Some(CLUSTER)));
    assert_eq!(data.blobs().get(&digest).expect("readable").as_deref(), Some(&b"a blob"[..]));
    drop(data);
    let error = Restoration::begin(&path, NODE, CLUSTER).expect_err("it is there");
    assert!(matches!(error, OpenError::Exists { .. }), "{error}");
}

#[test]
fn one_that_is_given_up_leaves_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("data");
    drop(Restoration::begin(&path, NODE, CLUSTER).expect("begun"));
    assert_eq!(fs::read_dir(home.path()).expect("readable").count(), 0);
    open(&path).expect("an empty one may be made");
}

#[test]
fn no_node_starts_where_one_is_under_way_or_was_cut_short_and_it_can_be_begun_anew() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("data");
    let under_way = Restoration::begin(&path, NODE, CLUSTER).expect("begun");
    let error = open(&path).expect_err("it is not complete");
    assert!(matches!(error, OpenError::HalfRestored { .. }), "{error}");
    let error = Restoration::begin(&path, NODE, CLUSTER).expect_err("another one is under way");
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    drop(under_way);

    // As a kill leaves it.
    fs::create_dir(home.path().join("data.restoring")).expect("made");
    fs::write(home.path().join("data.restoring/FORMAT"), "half").expect("written");
    let error = open(&path).expect_err("it was cut short").to_string();
    assert!(error.contains("data.restoring") && error.contains("dspex snapshot restore"), "{error}");
    Restoration::begin(&path, NODE, CLUSTER).expect("begun anew").finish().expect("finished");
    open(&path).expect("it opens");
}
