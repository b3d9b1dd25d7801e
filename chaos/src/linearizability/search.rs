//! Finds an order of the operations on a key, or shows that there is none. Depth first, on stacks of its own.

mod bits;
mod known;

use self::bits::Bits;
use self::known::Known;
use super::puzzle::Puzzle;
use super::register::State;

/// What the search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is an order.
    Explained,
    /// There is none.
    Contradiction,
    /// More work than was allowed.
    Undecided,
}

/// The verdict, and how many states were looked at.
pub(super) fn search(puzzle: &Puzzle, steps_max: u64) -> (Verdict, u64) {
    let mut search = Search::new(puzzle);
    let verdict = search.run(steps_max);
    (verdict, search.steps)
}

/// So many comparisons with what is known take about as long as a step.
const COMPARED_A_STEP: u64 = 500;

/// The next operation in the order, by its place in the puzzle.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Required(usize),
    Optional(usize),
}

/// A point of the order to come back to.
struct Frame {
    state: State,
    /// How long the order was.
    order: usize,
    /// Where its choices begin; those of the innermost frame end with the stack.
    choices: usize,
    next: usize,
}

struct Search<'a> {
    puzzle: &'a Puzzle,
    state: State,
    /// Required operations that have their place.
    done: Bits,
    /// The first required operation without one.
    front: usize,
    /// Optional writes that have their place.
    used: Bits,
    order: Vec<Choice>,
    frames: Vec<Frame>,
    choices: Vec<Choice>,
    known: Known,
    steps: u64,
}

impl<'a> Search<'a> {
    fn new(puzzle: &'a Puzzle) -> Self {
        Self {
            puzzle,
            state: State::Absent,
            done: Bits::new(puzzle.required.len()),
            front: 0,
            used: Bits::new(puzzle.optional_count()),
            order: Vec::new(),
            frames: Vec::new(),
            choices: Vec::new(),
            known: Known::default(),
            steps: 0,
        }
    }

    fn run(&mut self, steps_max: u64) -> Verdict {
        loop {
            self.place_observers();
            if self.done.count() == self.puzzle.required.len() {
                return Verdict::Explained;
            }
            if self.known.is_new(self.summary(), self.used.words()) {
                if self.steps + self.known.compared() / COMPARED_A_STEP >= steps_max {
                    return Verdict::Undecided;
                }
                self.steps += 1;
                self.open_frame();
            }
            if !self.advance() {
                return Verdict::Contradiction;
            }
        }
    }

    /// An operation that can be next and changes nothing may as well be next: no order is lost by that.
    fn place_observers(&mut self) {
        loop {
            let before = self.order.len();
            let mut deadline_ns = u64::MAX;
            for place in self.front..self.puzzle.required.len() {
                let required = self.puzzle.required[place];
                if self.done.has(place) {
                    continue;
                }
                if required.invoked_ns > deadline_ns {
                    break;
                }
                deadline_ns = deadline_ns.min(required.completed_ns);
                if !required.step.writes() && required.step.after(self.state).is_some() {
                    self.place(Choice::Required(place));
                }
            }
            if self.order.len() == before {
                return;
            }
        }
    }

    /// A point with every write that can be next: it was invoked before any other without a place has completed.
    fn open_frame(&mut self) {
        let begin = self.choices.len();
        let mut deadline_ns = u64::MAX;
        for place in self.front..self.puzzle.required.len() {
            let required = self.puzzle.required[place];
            if self.done.has(place) {
                continue;
            }
            if required.invoked_ns > deadline_ns {
                break;
            }
            deadline_ns = deadline_ns.min(required.completed_ns);
            if required.step.writes() && self.puzzle.after(required.step, self.state).is_some() {
                self.choices.push(Choice::Required(place));
            }
        }
        let offers = self.puzzle.offers(self.state, deadline_ns, |place| self.used.has(place));
        self.choices.extend(offers.into_iter().map(Choice::Optional));
        self.frames.push(Frame { state: self.state, order: self.order.len(), choices: begin, next: begin });
    }

    /// Takes the next choice that was not tried; false where there is none.
    fn advance(&mut self) -> bool {
        while let Some(frame) = self.frames.last_mut() {
            let (state, order, begin) = (frame.state, frame.order, frame.choices);
            let choice = self.choices.get(frame.next).copied();
            frame.next += 1;
            self.go_back(state, order);
            if let Some(choice) = choice {
                self.place(choice);
                return true;
            }
            self.choices.truncate(begin);
            self.frames.pop();
        }
        false
    }

    fn place(&mut self, choice: Choice) {
        let after = match choice {
            Choice::Required(place) => {
                self.done.set(place);
                while self.front < self.puzzle.required.len() && self.done.has(self.front) {
                    self.front += 1;
                }
                self.puzzle.after(self.puzzle.required[place].step, self.state)
            }
            Choice::Optional(place) => {
                self.used.set(place);
                self.puzzle.after_optional(place, self.state)
            }
        };
        self.state = after.expect("only what the state allows is placed");
        self.order.push(choice);
    }

    fn go_back(&mut self, state: State, order: usize) {
        for choice in self.order.drain(order..) {
            match choice {
                Choice::Required(place) => {
                    self.done.clear(place);
                    self.front = self.front.min(place);
                }
                Choice::Optional(place) => self.used.clear(place),
            }
        }
        self.state = state;
    }

    /// All that the rest of the search depends on but for the optional writes, exactly: a hash alone would one day hide an
    /// order.
    fn summary(&self) -> Box<[u64]> {
        let state = match self.state {
            State::Absent => [0, 0],
            // No session has version 0.
            State::Present { version, value } => [version, u64::from(value.0)],
        };
        let mut summary = Vec::with_capacity(6);
        summary.extend(state);
        summary.push(self.front as u64);
        self.done.write_from(self.front, &mut summary);
        summary.into_boxed_slice()
    }
}
