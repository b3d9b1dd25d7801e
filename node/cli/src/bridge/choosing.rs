//! Where an evaluation of the program is executed, by the rule of `dspex eval`. Nothing is connected for it that stays. A program that is
//! connected asks the node in use, and another one of the cluster where that is lost: the cluster is not away as long as one answers.

use dspex_api::Address;
use serde_json::json;

use super::answers::Body;
use super::messages::{Choose, Failure};
use super::requests::Bridge;
use crate::strategy::{Choice, Dataset, Question, Reason, Subject, Wish, decide};

impl Bridge {
    pub(super) async fn choose(&self, choose: Choose) -> Result<Body, Failure> {
        let invocation = self.node.invocation(choose.node)?;
        let subject = Subject {
            program: choose.program,
            metric: choose.metric,
            lm: Some(choose.lm),
            dataset: Dataset::Digest(choose.dataset_digest),
            // A payload is the same wherever it was made.
            directory: None,
        };
        let current = self.current().ok().filter(|(client, _)| !matches!(client.address(), Address::Unix(_)));
        let (in_use, turn) = current.unzip();
        let question = Question {
            wish: Wish::Auto,
            bound: choose.bound,
            subject: Some(subject),
            at_once: Some(choose.num_threads),
            in_use,
        };
        let examples = async || Some(choose.examples);
        let mut choice = decide(&invocation, question.clone(), examples).await?;
        if let (Reason::ClusterUnavailable(_), Some(turn)) = (&choice.reason, turn)
            && self.move_anywhere(turn).await
        {
            let question = Question { in_use: Some(self.client()?), ..question };
            choice = decide(&invocation, question, examples).await?;
        }
        let embedded = invocation.placed(&choice).address().is_none();
        Ok(Body::Plain(told(&choice, embedded)))
    }
}

fn told(choice: &Choice, embedded: bool) -> serde_json::Value {
    let Choice { strategy, reason } = choice;
    json!({
        "strategy": strategy.name(),
        "reason": reason.name(),
        "detail": reason.to_string(),
        "embedded": embedded,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::messages::{Connect, Method, Request};
    use crate::strategy::Strategy;

    #[test]
    fn a_program_is_told_where_why_and_whether_that_is_the_embedded_node() {
        let choice = Choice { strategy: Strategy::Local, reason: Reason::NoAddress };
        let told = told(&choice, true).to_string();
        let expected = r#"{"strategy":"local","reason":"no_address","detail":"no address of a cluster was given","embedded":true}"#;
        assert_eq!(told, expected);
    }

    #[test]
    fn requests_of_a_program_that_knows_no_choice_are_read_as_before() {
        let connect: Connect = serde_json::from_str(r#"{"address":"h:1","token_file":null,"ca":null}"#).expect("read");
        assert!(!connect.embedded && connect.node.address.as_deref() == Some("h:1"));
        let asked = r#"{"id":3,"method":"strategy.choose","body":{"address":null,"token_file":null,"ca":null,"bound":"detach=True",
            "program":"QA","metric":"exact","lm":"none","dataset_digest":"d","examples":3,"num_threads":8}}"#;
        let request: Request = serde_json::from_str(asked).expect("read");
        let Method::Choose(choose) = request.method else { panic!("{request:?}") };
        assert_eq!((choose.bound.as_deref(), choose.examples, choose.node.address), (Some("detach=True"), 3, None));
    }
}
