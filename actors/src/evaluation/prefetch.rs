//! How many examples wait inside a worker, so that its threads never wait for the node.

/// What an order and its answer take at the most on a busy machine.
const ROUND_TRIP_US: u64 = 10_000;
/// More would only make the end of a run uneven.
const WAITING_MAX: usize = 64;

/// A running mean of the time that examples take, weighted towards the recent ones.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct MeanDuration {
    mean_us: Option<f64>,
}

impl MeanDuration {
    const WEIGHT: f64 = 0.05;

    pub(crate) fn mean_us(self) -> Option<u64> {
        self.mean_us.map(|mean| mean as u64)
    }

    pub(crate) fn add(&mut self, duration_us: u64) {
        let sample = duration_us as f64;
        let mean = self.mean_us.unwrap_or(sample);
        self.mean_us = Some(mean + (sample - mean) * Self::WEIGHT);
    }
}

/// As many as the threads finish within a round trip. None before the first result and none for examples that take long:
/// there an example that waits behind a busy worker costs more than the round trip.
pub(crate) fn examples(threads: usize, duration: MeanDuration) -> usize {
    let Some(mean_us) = duration.mean_us else { return 0 };
    let finished = threads as f64 * ROUND_TRIP_US as f64 / mean_us.max(1.0);
    if finished < 0.1 { 0 } else { (finished.ceil() as usize).min(WAITING_MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(threads: usize, duration_us: u64) -> usize {
        let mut mean = MeanDuration::default();
        mean.add(duration_us);
        examples(threads, mean)
    }

    #[test]
    fn quick_examples_wait_in_the_worker_and_slow_ones_do_not() {
        assert_eq!(waiting(4, 400), WAITING_MAX);
        assert_eq!(waiting(32, 50_000), 7);
        assert_eq!(waiting(4, 2_000_000), 0);
        assert_eq!(examples(4, MeanDuration::default()), 0);
    }
}
