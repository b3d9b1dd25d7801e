//! How many examples a small file has, before it is sent anywhere.

use std::path::Path;

use super::Source;

/// Whoever evaluates more than this has nothing to decide by the time of a start.
const BYTES_MAX: u64 = 8 << 20;

/// Nothing for what is not a small file: a pipe can be read only once, and a name in Python is the workers' business. What is wrong
/// with the file is told when it is sent.
pub async fn count(source: &Source, limit: Option<u32>) -> Option<u32> {
    let Source::File(path, kind) = source else { return None };
    let (path, kind) = (path.clone(), *kind);
    let reading = tokio::task::spawn_blocking(move || {
        is_small_file(&path).then(|| super::read(&path, kind, limit, Box::new(|_| true)))
    });
    reading.await.ok()??.ok().map(|read| read.examples)
}

fn is_small_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() <= BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, String) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        let shown = path.to_string_lossy().into_owned();
        (directory, shown)
    }

    async fn counted(name: &str, bytes: &[u8], limit: Option<u32>) -> Option<u32> {
        let (_kept, path) = file(name, bytes);
        count(&Source::parse(&path).expect("a form"), limit).await
    }

    #[tokio::test]
    async fn the_examples_of_a_small_file_are_counted_as_they_would_be_sent() {
        assert_eq!(counted("d.jsonl", b"{\"n\": 1}\n\n{\"n\": 2}", None).await, Some(2));
        assert_eq!(counted("d.csv", b"n\n1\n2\n3\n", None).await, Some(3));
        assert_eq!(counted("d.csv", b"n\n1\n2\n3\n", Some(2)).await, Some(2));
    }

    #[tokio::test]
    async fn what_is_large_wrong_missing_or_no_file_is_not_counted() {
        assert_eq!(counted("d.jsonl", b"{\"n\": 1}\n[", None).await, None);
        let row = b"{\"n\": 1}\n";
        assert_eq!(counted("d.jsonl", &row.repeat((BYTES_MAX as usize).div_ceil(row.len()) + 1), None).await, None);
        assert_eq!(count(&Source::parse("/nonexistent/d.jsonl").expect("a form"), None).await, None);
        assert_eq!(count(&Source::parse("data.py:devset").expect("a form"), None).await, None);
    }
}
