//! How something new is begun. A node that drains refuses it, and executes nothing of it: the address may stand for several nodes, as that
//! of a Service of Kubernetes does, and a further connection may lead to one that takes work, where the one in use never does. A node that
//! is lost is replaced by another one of its cluster.

use std::time::Duration;

use dspex_api::{Address, ApiError, Client, reason};
use tokio::time::sleep;

use super::messages::Failure;
use super::requests::Bridge;
use crate::other_nodes::loss_in_write;

/// Before each further connection. An address that stands for one node costs the refused request this second.
const PAUSES_MS: [u64; 5] = [20, 80, 200, 300, 400];
/// Nodes that are lost one after the other by one request.
const LOSSES_MAX: usize = 3;

/// The node in use, over which connection, and which of all that were in use.
type InUse = (Client, u32, u32);

impl Bridge {
    /// Begins something new where the address leads. `begin` is called again where nothing was executed, and where that is not known: what
    /// it sends has a request id that every node knows, or does no harm twice. What is under way stays on the connection that it has.
    pub(super) async fn begin<T>(&self, begin: impl AsyncFn(Client) -> Result<T, ApiError>) -> Result<T, Failure> {
        self.begin_at(begin, async |turn| self.move_anywhere(turn).await).await
    }

    /// The same for what is not sent again where nobody knows whether it was executed.
    pub(super) async fn begin_once<T>(&self, begin: impl AsyncFn(Client) -> Result<T, ApiError>) -> Result<T, Failure> {
        self.begin_at(begin, async |_| false).await
    }

    async fn begin_at<T>(
        &self,
        begin: impl AsyncFn(Client) -> Result<T, ApiError>,
        after_loss: impl AsyncFn(u32) -> bool,
    ) -> Result<T, Failure> {
        let (client, _) = self.connection()?;
        if matches!(client.address(), Address::Unix(_)) {
            return Ok(begin(client).await?);
        }
        let current = || {
            let ((client, connection), (_, turn)) = (self.connection()?, self.current()?);
            Ok((client, connection, turn))
        };
        let begin = async |(client, ..): InUse| begin(client).await;
        let anew = async |(_, connection, turn): InUse| {
            // The address may lead to nobody any more.
            if !self.connect_anew(connection).await {
                self.move_anywhere(turn).await;
            }
        };
        let elsewhere = async |(.., turn): InUse| after_loss(turn).await;
        begun(current, begin, anew, elsewhere).await
    }
}

/// `current` is the connection in use; `anew` makes another one in place of it, if it can, and `elsewhere` one to another node.
async fn begun<C: Clone, T>(
    current: impl Fn() -> Result<C, Failure>,
    begin: impl AsyncFn(C) -> Result<T, ApiError>,
    anew: impl AsyncFn(C),
    elsewhere: impl AsyncFn(C) -> bool,
) -> Result<T, Failure> {
    let mut pauses = PAUSES_MS.into_iter().map(Duration::from_millis);
    let (mut losses, mut unknown) = (0, None);
    loop {
        let connection = current()?;
        let error = match begin(connection.clone()).await {
            Ok(begun) => return Ok(begun),
            Err(error) => error,
        };
        if error.reason == reason::NODE_DRAINING {
            let Some(pause) = pauses.next() else {
                // This node executed nothing, and of a lost one nobody knows.
                return Err(Failure::Api(unknown.unwrap_or_else(|| everywhere(error))));
            };
            sleep(pause).await;
            anew(connection).await;
        } else if loss_in_write(&error).is_some() && losses < LOSSES_MAX && elsewhere(connection).await {
            losses += 1;
            unknown = Some(error);
        } else {
            return Err(Failure::Api(error));
        }
    }
}

fn everywhere(error: ApiError) -> ApiError {
    let message = format!("{} ({} connections to the address led to no other)", error.message, PAUSES_MS.len() + 1);
    ApiError { message, ..error }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn drains() -> Result<u32, ApiError> {
        Err(ApiError::unavailable(reason::NODE_DRAINING, "this node drains"))
    }

    /// Each connection leads to the next node, whether to another one or where the address leads now; the last ones to the last. Gives
    /// how many were made.
    async fn ends(nodes: &[Result<u32, ApiError>]) -> (Result<u32, ApiError>, usize) {
        let made = Cell::new(0);
        let begin = async |connection: usize| nodes[connection.min(nodes.len() - 1)].clone();
        let anew = async |connection: usize| made.set(connection + 1);
        let elsewhere = async |connection: usize| {
            made.set(connection + 1);
            connection + 1 < nodes.len()
        };
        let ended = begun(|| Ok(made.get()), begin, anew, elsewhere).await;
        let told = |failure| match failure {
            Failure::Api(error) => error,
            Failure::Own(error) => panic!("{error}"),
        };
        (ended.map_err(told), made.get())
    }

    #[tokio::test]
    async fn what_a_draining_node_refuses_is_begun_where_a_further_connection_leads() {
        assert_eq!(ends(&[Ok(1)]).await, (Ok(1), 0));
        assert_eq!(ends(&[drains(), drains(), Ok(3)]).await, (Ok(3), 2));
        let full = ApiError::unavailable(reason::POOL_FULL, "wait");
        assert_eq!(ends(&[drains(), Err(full.clone())]).await, (Err(full), 1), "another refusal is an answer");
    }

    #[tokio::test]
    async fn what_a_lost_node_does_not_answer_is_begun_at_another_one_of_its_cluster() {
        let lost = || Err(ApiError::unavailable(reason::NODE_UNREACHABLE, "connection refused"));
        assert_eq!(ends(&[lost(), drains(), Ok(3)]).await, (Ok(3), 2));
        let (ended, made) = ends(&[lost(), lost()]).await;
        assert_eq!((ended, made), (lost(), 2), "there is no further one");
        let (ended, _) = ends(&[lost(), drains()]).await;
        assert_eq!(ended, lost(), "it may have been executed, whatever others say");
        let refused = ApiError::precondition(reason::REQUEST_INVALID, "no");
        assert_eq!(ends(&[Err(refused.clone()), Ok(2)]).await, (Err(refused), 0), "an answer is one");
        let dying: Vec<_> = std::iter::repeat_with(lost).take(9).collect();
        assert_eq!(ends(&dying).await, (lost(), LOSSES_MAX), "it ends");
    }

    #[tokio::test]
    async fn an_address_of_nodes_that_all_drain_is_given_up_in_time() {
        let begun = tokio::time::Instant::now();
        let (ended, made) = ends(&[drains()]).await;
        let error = ended.expect_err("nobody takes it");
        assert_eq!((error.reason.as_ref(), made), (reason::NODE_DRAINING, PAUSES_MS.len()));
        assert!(error.message.starts_with("this node drains (6 connections"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}
