//! The log lines of a node, each under its name; the last ones are kept for the case that it ends.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// A longer line is shown in parts.
const LINE_MAX: usize = 16 << 10;
const KEPT: usize = 12;

/// The end of what a node has said. Clones see the same.
#[derive(Debug, Clone, Default)]
pub struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// Its lines, oldest first.
    pub fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// Passes each line on until the pipe ends, and keeps the last ones. Its reader never waits for anything but the pipe, so that
/// the node never waits for its reader.
pub async fn follow(pipe: impl AsyncRead + Unpin, tail: Tail, mut show: impl FnMut(&str)) {
    let mut reader = BufReader::with_capacity(LINE_MAX, pipe);
    let mut line = Vec::new();
    while let Ok(part @ [_, ..]) = reader.fill_buf().await {
        let room = LINE_MAX - line.len();
        let end = part.iter().take(room).position(|byte| *byte == b'\n');
        let taken = end.map_or(part.len().min(room), |end| end + 1);
        line.extend_from_slice(&part[..taken]);
        reader.consume(taken);
        if end.is_some() || line.len() == LINE_MAX {
            pass(&mut line, &tail, &mut show);
        }
    }
    if !line.is_empty() {
        pass(&mut line, &tail, &mut show);
    }
}

fn pass(line: &mut Vec<u8>, tail: &Tail, show: &mut impl FnMut(&str)) {
    let text = String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']).to_owned();
    line.clear();
    show(&text);
    tail.push(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(bytes: &[u8]) -> (Vec<String>, String) {
        let (mut shown, tail) = (Vec::new(), Tail::default());
        follow(bytes, tail.clone(), |line| shown.push(line.to_owned())).await;
        (shown, tail.text())
    }

    #[tokio::test]
    async fn lines_are_passed_on_one_by_one_also_the_last() {
        let (shown, tail) = lines(b"one\r\n\ntwo\nthree").await;
        assert_eq!(shown, ["one", "", "two", "three"]);
        assert_eq!(tail, "one\n\ntwo\nthree\n");
        assert_eq!(lines(b"").await.0, Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_line_without_an_end_takes_no_more_than_its_share() {
        let (shown, _) = lines(&vec![b'x'; 2 * LINE_MAX + 1]).await;
        let lengths: Vec<usize> = shown.iter().map(String::len).collect();
        assert_eq!(lengths, [LINE_MAX, LINE_MAX, 1]);
    }

    #[tokio::test]
    async fn the_end_of_what_was_said_is_kept() {
        let said: String = (0..100).map(|number| format!("{number}\n")).collect();
        let (_, tail) = lines(said.as_bytes()).await;
        assert_eq!(tail.lines().count(), KEPT);
        assert!(tail.ends_with("98\n99\n"), "{tail}");
    }
}
