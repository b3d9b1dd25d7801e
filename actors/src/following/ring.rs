//! The latest lines of a run, each with its place, and what a reader is told who comes from some place: no line twice, none
//! missing, unless it is kept no more; then how many.

use std::collections::VecDeque;

use dspex_model::{BoardEvent, LineCursor};

/// Lines that are kept for readers who are behind, or come later.
const LINES_MAX: usize = 1024;
/// What they may take together; a page of them fits into a frame.
const BYTES_MAX: usize = 1 << 20;
/// Of a line, beside its text.
const LINE_BYTES: usize = 64;

/// One line for a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A print or a warning.
    Event(BoardEvent),
    /// So many lines are kept no more.
    LeftOut(u64),
    /// From here on another owner counts. What was printed before it, and not told, is lost.
    NextOwner,
}

/// Lines as they are handed from one ring to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub lines: Vec<(LineCursor, BoardEvent)>,
    pub head: LineCursor,
}

/// The lines of a run.
#[derive(Debug)]
pub(crate) struct Ring {
    lines: VecDeque<(LineCursor, BoardEvent)>,
    bytes: usize,
    /// The place of the last line.
    head: LineCursor,
    lines_max: usize,
    bytes_max: usize,
}

impl Default for Ring {
    fn default() -> Self {
        Self::bounded(LINES_MAX, BYTES_MAX)
    }
}

impl Ring {
    pub(crate) fn bounded(lines_max: usize, bytes_max: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, head: LineCursor::default(), lines_max, bytes_max }
    }

    /// Where the last line stands.
    pub(crate) fn head(&self) -> LineCursor {
        self.head
    }

    /// From here on this owner counts.
    pub(crate) fn begin(&mut self, epoch: u64) {
        self.reach(LineCursor { epoch, number: 0 });
    }

    /// The next line of the owner that counts.
    pub(crate) fn publish(&mut self, event: BoardEvent) {
        self.head.number += 1;
        self.keep(event);
    }

    /// What another ring has. Lines that are here already are passed over.
    pub(crate) fn take(&mut self, page: Page) {
        for (at, event) in page.lines {
            if at > self.head {
                self.head = at;
                self.keep(event);
            }
        }
        self.reach(page.head);
    }

    /// All that is kept behind a place.
    pub(crate) fn page(&self, after: LineCursor) -> Page {
        Page { lines: self.behind(after).cloned().collect(), head: self.head }
    }

    /// What a reader at `at` is told next, each with where the reader stands then.
    pub(crate) fn read(&self, mut at: LineCursor) -> Vec<(LineCursor, Told)> {
        let mut told = Vec::new();
        for (place, event) in self.behind(at) {
            step(&mut told, &mut at, LineCursor { number: place.number.saturating_sub(1), ..*place });
            at = *place;
            told.push((at, Told::Event(event.clone())));
        }
        if self.head > at {
            step(&mut told, &mut at, self.head);
        }
        told
    }

    fn behind(&self, after: LineCursor) -> impl Iterator<Item = &(LineCursor, BoardEvent)> {
        self.lines.range(self.lines.partition_point(|(at, _)| *at <= after)..)
    }

    fn reach(&mut self, head: LineCursor) {
        self.head = self.head.max(head);
    }

    fn keep(&mut self, event: BoardEvent) {
        self.bytes += size(&event);
        self.lines.push_back((self.head, event));
        // The last one stays, however long it is.
        while self.lines.len() > 1 && (self.lines.len() > self.lines_max || self.bytes > self.bytes_max) {
            if let Some((_, oldest)) = self.lines.pop_front() {
                self.bytes -= size(&oldest);
            }
        }
    }
}

fn size(event: &BoardEvent) -> usize {
    LINE_BYTES
        + match event {
            BoardEvent::Output { worker, text, .. } => worker.len() + text.len(),
            BoardEvent::Warning(text) => text.len(),
        }
}

/// From one place to a later one between which no line is kept.
fn step(told: &mut Vec<(LineCursor, Told)>, at: &mut LineCursor, to: LineCursor) {
    if to.epoch > at.epoch {
        let is_first = at.epoch == 0;
        *at = LineCursor { epoch: to.epoch, number: 0 };
        if !is_first {
            told.push((*at, Told::NextOwner));
        }
    }
    let missing = to.number.saturating_sub(at.number);
    if missing > 0 {
        *at = to;
        told.push((to, Told::LeftOut(missing)));
    }
}

#[cfg(test)]
mod tests;
