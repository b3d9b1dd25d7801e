//! Questions of user code that wait for their run's driver, and who answers them.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::Question;

/// What one page of them may take together, but for a single one that is longer.
const PAGE_BYTES_MAX: usize = 4 << 20;
const PAGE_MAX: usize = 64;

/// Another driver came later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replaced;

/// Without an answer yet. A thread waits for each, so there are as many as the run has threads at the most.
#[derive(Debug, Default)]
pub(super) struct Questions {
    waiting: BTreeMap<u64, Question>,
    last: u64,
    /// Who answers: of all that came the greatest, which came last. First the epoch of the owner that it came to, then its number there:
    /// no clocks of two nodes are compared.
    driver: u128,
}

impl Questions {
    pub(super) fn ask(&mut self, question: Question) {
        self.last += 1;
        self.waiting.insert(self.last, question);
    }

    /// Another driver comes, and answers from here on. `at_least`: of its number under this epoch.
    pub(super) fn welcome(&mut self, epoch: u64, at_least: u64) -> u128 {
        let number = (u128::from(epoch) << 64) | u128::from(at_least);
        self.driver = number.max(self.driver.saturating_add(1));
        self.driver
    }

    /// Those behind a number, as many as make a page.
    pub(super) fn page(&mut self, driver: u128, after: u64) -> Result<Vec<(u64, Question)>, Replaced> {
        if driver < self.driver {
            return Err(Replaced);
        }
        self.driver = driver;
        let mut bytes = 0;
        let fits = |(_, question): &(&u64, &Question)| {
            let is_first = bytes == 0;
            bytes += question.body.len().max(1);
            is_first || bytes <= PAGE_BYTES_MAX
        };
        let behind = self.waiting.range((Bound::Excluded(after), Bound::Unbounded)).take(PAGE_MAX).take_while(fits);
        Ok(behind.map(|(number, question)| (*number, question.clone())).collect())
    }

    /// `false`: it has its answer already, or its worker is gone.
    pub(super) fn answered(&mut self, worker: &str, id: u64) -> bool {
        let found = self.waiting.iter().find(|(_, question)| question.worker == worker && question.id == id);
        let number = found.map(|(number, _)| *number);
        number.is_some_and(|number| self.waiting.remove(&number).is_some())
    }

    /// Nobody waits for these any more.
    pub(super) fn forget(&mut self, worker: &str) {
        self.waiting.retain(|_, question| question.worker != worker);
    }

    /// Nobody waits for any of them.
    pub(super) fn forget_all(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(worker: &str, id: u64, bytes: usize) -> Question {
        Question { worker: worker.to_owned(), id, index: 0, body: vec![0; bytes].into() }
    }

    fn asked(questions: &[(&str, u64, usize)]) -> Questions {
        let mut asked = Questions::default();
        questions.iter().for_each(|(worker, id, bytes)| asked.ask(question(worker, *id, *bytes)));
        asked
    }

    fn numbers(page: Result<Vec<(u64, Question)>, Replaced>) -> Vec<u64> {
        page.expect("the driver").into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn a_driver_is_asked_each_question_once_and_one_that_comes_later_all_without_an_answer() {
        let mut questions = asked(&[("a", 1, 1), ("b", 1, 1), ("a", 2, 1)]);
        assert_eq!(numbers(questions.page(5, 0)), [1, 2, 3]);
        assert!(questions.answered("b", 1) && !questions.answered("b", 1) && !questions.answered("c", 1));
        assert_eq!(numbers(questions.page(5, 2)), [3]);
        assert_eq!(numbers(questions.page(6, 0)), [1, 3]);
        assert_eq!(questions.page(5, 3), Err(Replaced));
        questions.forget("a");
        assert_eq!(numbers(questions.page(6, 0)), Vec::<u64>::new());
    }

    #[test]
    fn whoever_comes_later_is_asked_whatever_the_clocks_of_the_nodes_say() {
        let mut questions = asked(&[("a", 1, 1)]);
        let through_one = questions.welcome(1, 5000);
        let through_other = questions.welcome(1, 10);
        assert_eq!(questions.page(through_one, 0), Err(Replaced), "the clock has gone back");
        assert_eq!(numbers(questions.page(through_other, 0)), [1]);
        // Under the next owner they come back in any order, and somebody who is new there comes later than both.
        let mut questions = asked(&[("a", 1, 1)]);
        assert_eq!(numbers(questions.page(through_other, 0)), [1]);
        assert_eq!(questions.page(through_one, 0), Err(Replaced));
        let mut elsewhere = asked(&[("a", 1, 1)]);
        let new = elsewhere.welcome(2, 0);
        assert_eq!(elsewhere.page(through_other, 0), Err(Replaced), "though the new one came there first");
        assert_eq!(numbers(elsewhere.page(new, 0)), [1]);
    }

    #[test]
    fn a_place_behind_all_that_can_be_has_no_questions() {
        assert_eq!(numbers(asked(&[("a", 1, 1)]).page(1, u64::MAX)), Vec::<u64>::new());
    }

    #[test]
    fn a_page_is_bounded_and_a_long_question_has_one_of_its_own() {
        let half = PAGE_BYTES_MAX / 2;
        let mut questions = asked(&[("a", 1, half), ("a", 2, half), ("a", 3, 1), ("a", 4, 3 * PAGE_BYTES_MAX)]);
        assert_eq!(numbers(questions.page(1, 0)), [1, 2]);
        assert_eq!(numbers(questions.page(1, 2)), [3]);
        assert_eq!(numbers(questions.page(1, 3)), [4]);
        let many: Vec<_> = (0..200).map(|id| ("a", id, 1)).collect();
        assert_eq!(numbers(asked(&many).page(1, 0)).len(), PAGE_MAX);
    }
}
