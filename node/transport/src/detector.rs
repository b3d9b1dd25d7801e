//! Whether a silent peer lives. Pure: time comes in as milliseconds.

/// How a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Something was heard lately.
    Up,
    /// Silent for longer than heartbeats are apart: something is slow, or gone.
    Suspect,
    /// Silent for so long that it counts as gone; the connection is closed.
    Down,
}

/// The bounds of silence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Detector {
    pub(crate) suspect_ms: u64,
    pub(crate) down_ms: u64,
}

impl Detector {
    pub(crate) fn health(self, silent_ms: u64) -> Health {
        if silent_ms >= self.down_ms {
            Health::Down
        } else if silent_ms >= self.suspect_ms {
            Health::Suspect
        } else {
            Health::Up
        }
    }

    /// How long to wait until the health can have changed by silence alone.
    pub(crate) fn next_ms(self, silent_ms: u64) -> u64 {
        let bound = if silent_ms < self.suspect_ms { self.suspect_ms } else { self.down_ms };
        bound.saturating_sub(silent_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_suspect_before_it_is_the_end() {
        let detector = Detector { suspect_ms: 1000, down_ms: 3000 };
        let seen: Vec<Health> = [0, 999, 1000, 2999, 3000, 9000].map(|silent| detector.health(silent)).to_vec();
        use Health::{Down, Suspect, Up};
        assert_eq!(seen, [Up, Up, Suspect, Suspect, Down, Down]);
        assert_eq!([0, 400, 1000, 2999, 3000].map(|silent| detector.next_ms(silent)), [1000, 600, 2000, 1, 0]);
    }
}
