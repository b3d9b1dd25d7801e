//! What never leaves the machine, and what is too much to be sent: told by name, with exit 2, before anything is uploaded.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use crate::subject::{Node, project};

#[test]
fn a_secret_in_a_file_is_refused_with_its_place_and_without_its_value() {
    let (node, project) = (Node::start(), project(1));
    project.file("config.py", "import os\n\nKEY = 'sk-0123456789abcdef'\n");
    let eval = || node.eval(&project).env("MY_API_KEY", "sk-0123456789abcdef");
    let refused = eval().run().expect(2);
    refused.says("SECRET_FOUND").says("config.py, line 3").says("MY_API_KEY").does_not_say("sk-0123456789");
    project.file("config.py", "KEY = 'c2stMDEyMzQ1Njc4OWFiY2RlZg=='\n");
    eval().run().expect(2).says("config.py, line 1").says("MY_API_KEY");
    assert_eq!(node.unpacked(), 0);
    // What workers do not need may hold it, and so may what is none.
    eval().env("DSPEX_NOT_SECRET", "MY_API_KEY").run().expect(0);
    project.file(".dspexignore", "config.py\n");
    eval().run().expect(0);
}

#[test]
fn what_is_left_out_is_not_on_the_node() {
    let (node, project) = (Node::start(), project(1));
    for left_out in [
        ".env",
        "prod.env",
        "tls.pem",
        "server.KEY",
        "a/id_ed25519",
        "a/.npmrc",
        ".aws/credentials",
        "service-account.json",
        ".git/config",
        "venv/pyvenv.cfg",
        "venv/bin/x",
        "a/__pycache__/b.pyc",
        "build/x",
        "a/private.txt",
    ] {
        project.file(left_out, "not to be sent");
    }
    project.file(".gitignore", "/build\n").file("a/kept.py", "");
    // What the caller keeps here stays here, whatever a repository beneath says.
    project.file(".dspexignore", "private.txt\n").file("a/.gitignore", "!private.txt\n");
    node.eval(&project).run().expect(0);
    let mut found = Vec::new();
    let mut waiting = vec![node.bundles()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(directory).expect("readable").flatten() {
            match entry.file_type().expect("a type").is_dir() {
                true => waiting.push(entry.path()),
                false => found.push(entry.file_name().to_string_lossy().into_owned()),
            }
        }
    }
    found.sort();
    let ignoring = [".dspexignore", ".gitignore", ".gitignore"];
    assert_eq!(found[..3], ignoring);
    assert_eq!(found[3..], ["data.jsonl", "helping.py", "kept.py", "program.py", "words.txt"]);
}

#[test]
fn links_out_of_the_project_and_special_files_are_refused_by_name() {
    let (node, project) = (Node::start(), project(1));
    symlink("/etc/passwd", project.path("leak")).expect("a link");
    node.eval(&project).run().expect(2).says("PROJECT_INVALID").says("leak").says("/etc/passwd").says(".dspexignore");
    std::fs::remove_file(project.path("leak")).expect("removed");
    symlink("words.txt", project.path("inside")).expect("a link");
    let _listener = UnixListener::bind(project.path("socket")).expect("a socket");
    node.eval(&project).run().expect(2).says("socket is a socket");
    std::fs::remove_file(project.path("socket")).expect("removed");
    node.eval(&project).run().expect(0);
}

#[test]
fn names_that_fold_into_one_are_refused() {
    let (node, project) = (Node::start(), project(1));
    project.file("Words.txt", "others");
    node.eval(&project).run().expect(2).says("Words.txt").says("words.txt").says("rename");
}

#[test]
fn a_project_that_is_too_large_is_refused_with_what_takes_most_of_it() {
    let (node, project) = (Node::start(), project(1));
    project.file("models/large.bin", vec![0; 3 << 20]);
    let eval = || node.eval(&project).args(["--bundle-limit", "2MiB"]);
    eval().run().expect(2).says("models/large.bin (3.0 MiB)").says(".dspexignore").says("--bundle-limit");
    node.eval(&project).env("DSPEX_BUNDLE_LIMIT", "2MiB").run().expect(2).says("models/large.bin");
    node.eval(&project).run().expect(0);
    project.file(".dspexignore", "models/\n");
    eval().run().expect(0);
}

#[test]
fn a_hundred_thousand_files_are_refused_with_their_directory() {
    let (node, project) = (Node::start(), project(1));
    project.file("images/first", "");
    for number in 0..100_000 {
        std::fs::File::create(project.path(&format!("images/{number}"))).expect("a file");
    }
    let refused = node.eval(&project).run().expect(2);
    refused.says("100005 files").says("20000").says("images (100001 files)").says(".dspexignore");
    assert_eq!(node.unpacked(), 0);
}

#[test]
fn files_outside_of_the_project_are_refused_by_name() {
    let (node, project) = (Node::start(), project(1));
    let elsewhere = tempfile::tempdir().expect("a directory");
    std::fs::write(elsewhere.path().join("m.py"), "def metric(e, p):\n    return 1\n").expect("written");
    std::fs::write(elsewhere.path().join("shared_of_mine.py"), "").expect("written");
    let metric = format!("{}:metric", elsewhere.path().join("m.py").display());
    let words = ["eval", "program.py:program", "--devset", "data.jsonl", "--metric", &metric];
    let refused = node.dspex(&words).directory(project.directory()).run().expect(2);
    refused.says("PROJECT_INVALID").says("m.py").says("pyproject.toml");
    project.file("helping.py", "import shared_of_mine\ndef half(n):\n    return int(n) / 2\n");
    let refused = node.eval(&project).env("PYTHONPATH", elsewhere.path()).run().expect(2);
    refused.says("shared_of_mine").says("pyproject.toml");
    let home = tempfile::tempdir().expect("a directory");
    std::fs::write(home.path().join("qa.py"), "").expect("written");
    let words = ["eval", "qa.py:qa", "--devset", "data.jsonl", "--metric", "qa.py:m"];
    std::fs::write(home.path().join("data.jsonl"), "{}\n").expect("written");
    node.dspex(&words).directory(home.path()).env("HOME", home.path()).run().expect(2).says("your home directory");
}

#[test]
fn a_program_that_is_ignored_is_told_how_to_be_taken_back() {
    let (node, project) = (Node::start(), project(1));
    project.file(".gitignore", "helping.py\n");
    node.eval(&project).run().expect(2).says("helping.py").says("!helping.py");
    project.file(".dspexignore", "!helping.py\n");
    node.eval(&project).run().expect(0);
    project.file(".dspexignore", "a{b\n");
    node.eval(&project).run().expect(2).says(".dspexignore: line 1");
}

#[test]
fn options_that_cannot_be_meant_are_wrong_usage() {
    let (node, project) = (Node::start(), project(1));
    node.eval(&project).args(["--bundle-limit", "lots"]).run().expect(2).says("--bundle-limit");
    node.eval(&project).args(["--environment", "nlp", "--in-place"]).run().expect(2);
    let embedded = dspex_tests::Home::new();
    embedded.eval(&project).args(["--environment", "default"]).run().expect(2).says("--python");
}
