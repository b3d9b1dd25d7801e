//! Where an execution goes next: a function of what is known of the session's home.

use dspex_model::{NodeId, SessionHome};

use super::{AtHome, ExecuteError, Executed, RemoteError};

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The session has no home: this node becomes it.
    Take { expected_epoch: u64 },
    /// This node is its home.
    Here,
    /// Another one is.
    There { node: NodeId },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Step {
    Done(Box<Executed>),
    /// The home is another one by now.
    Moved(SessionHome),
    /// The home cannot be reached, and has not been asked.
    NotAsked,
    /// The home was asked, and its answer was lost with it.
    Lost(String),
}

pub(super) fn next(own: NodeId, home: Option<SessionHome>) -> Next {
    match home {
        None => Next::Take { expected_epoch: 0 },
        Some(home) if home.node == own => Next::Here,
        Some(SessionHome { node, .. }) => Next::There { node },
    }
}

impl Step {
    pub(super) fn of_home(answer: AtHome) -> Result<Self, ExecuteError> {
        match answer {
            AtHome::Done(executed) => Ok(Self::Done(executed)),
            AtHome::Moved(home) => Ok(Self::Moved(home)),
            AtHome::Failed(error) => Err(*error),
        }
    }

    pub(super) fn of_remote(answer: Result<Executed, RemoteError>) -> Result<Self, ExecuteError> {
        match answer {
            Ok(executed) => Ok(Self::Done(Box::new(executed))),
            Err(RemoteError::Moved(home)) => Ok(Self::Moved(home)),
            Err(RemoteError::Unreachable(_)) => Ok(Self::NotAsked),
            Err(RemoteError::Lost(why)) => Ok(Self::Lost(why)),
            Err(RemoteError::Failed(failure)) => Err(ExecuteError::Remote(failure)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_executed_at_its_home_and_one_without_becomes_this_nodes() {
        let (own, other) = (NodeId(1), NodeId(2));
        assert_eq!(next(own, None), Next::Take { expected_epoch: 0 });
        assert_eq!(next(own, Some(SessionHome { node: own, epoch: 5 })), Next::Here);
        assert_eq!(next(own, Some(SessionHome { node: other, epoch: 5 })), Next::There { node: other });
    }

    #[test]
    fn only_a_home_that_may_have_executed_is_lost() {
        let step = |error| Step::of_remote(Err(error)).expect("goes on");
        assert!(matches!(step(RemoteError::Unreachable("down".to_owned())), Step::NotAsked));
        assert!(matches!(step(RemoteError::Lost("gone".to_owned())), Step::Lost(why) if why == "gone"));
        let home = SessionHome { node: NodeId(2), epoch: 5 };
        assert!(matches!(step(RemoteError::Moved(home)), Step::Moved(there) if there == home));
    }
}
