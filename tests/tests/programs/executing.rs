//! Stored programs are executed by their name: through a pool of any node, and in sessions.

use std::time::Duration;

use dspex_api::v1::PutProgramRequest;
use dspex_tests::{Cluster, Project, wait_until};
use serde_json::{Value, json};

use crate::request::{id, put};

/// Programs without a model, and one whose call would be seen.
const PROGRAMS: &str = r#"
import dspex
import dspy


class Say(dspy.Module):
    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, question):
        return dspy.Prediction(answer=f"{self.what} {question}")


first = Say("first")
second = Say("second")
of_s = Say("of s")


class Varied(dspy.Module):
    def forward(self, question):
        return dspy.Prediction(answer=f"{dspex.current_program().variables.get('tone')} {question}")


varied = Varied()


class Clerk(dspy.BaseLM):
    def __init__(self):
        super().__init__("clerk")

    def forward(self, prompt=None, messages=None, **kwargs):
        raise ValueError("the model was called")


clerk = Clerk()
"#;

struct Subject {
    cluster: Cluster,
    project: Project,
}

impl Subject {
    fn new(nodes: usize) -> Self {
        let project = Project::empty();
        project.file("programs.py", PROGRAMS);
        Self { cluster: Cluster::of(nodes), project }
    }

    fn code(&self, name: &str) -> String {
        format!("{}:{name}", self.project.path("programs.py").display())
    }

    /// A program of the file, of which is said that it takes a question.
    fn put(&self, number: u64, name: &str, code: &str, session: &str) {
        let request = PutProgramRequest {
            request_id: id(number),
            name: name.to_owned(),
            session_id: session.to_owned(),
            definition: Some(json!({"program": self.code(code)}).to_string()),
            signature: Some("question -> answer".to_owned()),
            ..PutProgramRequest::default()
        };
        self.cluster.ask(0, async |client| client.put_program(request).await).expect("put");
    }

    fn in_pool(&self, position: usize, arguments: &Value) -> dspex_tests::Output {
        let arguments = arguments.to_string();
        self.cluster.dspex(position, &["pool", "call", "general", "execute_program", &arguments]).run()
    }

    fn in_session(&self, position: usize, session: &str, arguments: &Value) -> dspex_tests::Output {
        let arguments = arguments.to_string();
        self.cluster.dspex(position, &["session", "execute", session, "execute_program", &arguments]).run()
    }
}

fn asks(program: &str) -> Value {
    json!({"program_id": program, "inputs": {"question": "?"}})
}

/// What it answered, and which version that was.
fn answered(output: &dspex_tests::Output) -> (String, Option<u64>) {
    let answer: Value = serde_json::from_str(&output.stdout).expect("JSON");
    (answer["outputs"]["answer"].as_str().expect("an answer").to_owned(), answer["version"].as_u64())
}

#[test]
fn what_one_node_has_stored_every_node_executes_and_always_the_newest() {
    let subject = Subject::new(3);
    subject.put(1, "qa", "first", "");
    for position in 0..3 {
        let said = answered(&subject.in_pool(position, &asks("qa")).expect(0));
        assert_eq!(said, ("first ?".to_owned(), Some(1)), "at node {position}");
    }
    subject.put(2, "qa", "second", "");
    for position in (0..3).rev() {
        let said = answered(&subject.in_pool(position, &asks("qa")).expect(0));
        assert_eq!(said, ("second ?".to_owned(), Some(2)), "at node {position}");
    }
    let listed = || {
        let list = ["execution", "list", "--program", "qa", "-o", "json"];
        let listed = subject.cluster.dspex(1, &list).run().expect(0).object();
        listed["items"].as_array().cloned().filter(|items| items.len() == 6)
    };
    let recorded = wait_until("all executions are found by the program", Duration::from_secs(60), listed);
    let shown = subject.cluster.dspex(2, &["program", "show", "qa", "-o", "json"]).run().expect(0).object();
    let versions: Vec<_> = recorded.iter().map(|one| one["program_version"].as_u64()).collect();
    assert_eq!(versions, [Some(2), Some(2), Some(2), Some(1), Some(1), Some(1)]);
    assert!(recorded.iter().all(|one| one["program_id"] == shown["program_id"]), "{recorded:?} of {shown}");
    subject.cluster.dspex(0, &["program", "delete", "qa", "--yes"]).run().expect(0);
    for position in 0..3 {
        subject.in_pool(position, &asks("qa")).expect(5).says("NOT_DEFINED").says("program put");
    }
}

#[test]
fn a_program_is_executed_with_the_variables_of_its_newest_version() {
    let subject = Subject::new(1);
    subject.put(1, "qa", "varied", "");
    let said = || answered(&subject.in_pool(0, &asks("qa")).expect(0));
    assert_eq!(said(), ("None ?".to_owned(), Some(1)));
    for (value, version) in [("calm", 2), ("loud", 3)] {
        subject.cluster.dspex(0, &["program", "put", "qa", "--set", &format!("tone=\"{value}\"")]).run().expect(0);
        assert_eq!(said(), (format!("{value} ?"), Some(version)));
    }
    // A session's own program has its own.
    subject.cluster.dspex(0, &["session", "create", "s"]).run().expect(0);
    subject.put(4, "qa", "varied", "s");
    assert_eq!(answered(&subject.in_session(0, "s", &asks("qa")).expect(0)), ("None ?".to_owned(), Some(1)));
    subject.cluster.dspex(0, &["program", "put", "qa", "--session", "s", "--set", "tone=\"shy\""]).run().expect(0);
    assert_eq!(answered(&subject.in_session(0, "s", &asks("qa")).expect(0)), ("shy ?".to_owned(), Some(2)));
    // What a caller brings under that name counts for nothing.
    let brought = json!({"program_id": "qa", "inputs": {"question": "?"}, "variables": {"tone": "mine"}});
    assert_ne!(subject.in_pool(0, &brought).code, Some(0));
}

#[test]
fn a_session_executes_its_own_program_and_else_that_of_all() {
    let subject = Subject::new(3);
    for session in ["s", "t"] {
        subject.cluster.dspex(0, &["session", "create", session]).run().expect(0);
    }
    subject.put(1, "qa", "first", "");
    subject.put(2, "qa", "of_s", "s");
    let says = |position, session: &str| answered(&subject.in_session(position, session, &asks("qa")).expect(0)).0;
    assert_eq!((says(0, "s"), says(1, "t")), ("of s ?".to_owned(), "first ?".to_owned()));
    assert_eq!(answered(&subject.in_pool(2, &asks("qa")).expect(0)).0, "first ?", "a session's own is for it alone");
    subject.put(3, "qa", "second", "s");
    assert_eq!(says(2, "s"), "second ?", "on the worker that knows another one");
    subject.cluster.dspex(1, &["program", "delete", "qa", "--session", "s", "--yes"]).run().expect(0);
    assert_eq!(says(1, "s"), "first ?");
}

#[test]
fn inputs_that_do_not_fit_are_refused_by_name_before_anything_is_executed() {
    let subject = Subject::new(1);
    subject.cluster.dspex(0, &["session", "create", "s"]).run().expect(0);
    let mut request = put(1, "qa", "");
    request.definition =
        Some(json!({"signature": "question, k: int -> answer", "lm": subject.code("clerk")}).to_string());
    subject.cluster.ask(0, async |client| client.put_program(request).await).expect("put");
    for (inputs, says) in [
        (json!({"question": "?"}), "without k"),
        (json!({"question": "?", "k": 1, "hint": 2, "other": 3}), "with unknown hint, other"),
        (json!({"question": "?", "k": "one"}), "with a value of another type: k is a whole number, not a text"),
        (json!(null), "without question, k"),
        (json!(["?", 1]), "the program \"qa\" is called with a list instead of an object"),
    ] {
        let arguments = json!({"program_id": "qa", "inputs": inputs});
        for refused in [subject.in_pool(0, &arguments), subject.in_session(0, "s", &arguments)] {
            let refused = refused.expect(2);
            refused.says("PROGRAM_INPUTS_INVALID").says(says).says("the program takes question: str, k: int");
            refused.does_not_say("the model was called");
        }
    }
    // What fits goes to the model.
    let fits = json!({"program_id": "qa", "inputs": {"question": "?", "k": 1}});
    subject.in_pool(0, &fits).expect(1).says("the model was called");
    subject.in_session(0, "s", &fits).expect(1).says("the model was called");
}

#[test]
fn a_program_that_a_pool_was_given_is_called_until_one_of_its_name_is_stored() {
    let subject = Subject::new(1);
    let created = json!({"id": "qa", "program": subject.code("first")}).to_string();
    subject.cluster.dspex(0, &["pool", "call", "general", "create_program", &created]).run().expect(0);
    let says = || answered(&subject.in_pool(0, &asks("qa")).expect(0));
    assert_eq!(says(), ("first ?".to_owned(), None));
    subject.put(1, "qa", "second", "");
    assert_eq!(says(), ("second ?".to_owned(), Some(1)));
    subject.cluster.dspex(0, &["program", "delete", "qa", "--yes"]).run().expect(0);
    assert_eq!(says(), ("first ?".to_owned(), None));
}

#[test]
fn a_large_definition_is_executed_where_it_was_not_stored() {
    let subject = Subject::new(3);
    let mut request = put(1, "large", "");
    let instructions = "Answer. ".repeat(20_000);
    request.definition = Some(
        json!({"signature": "question -> answer", "instructions": instructions, "lm": subject.code("clerk")})
            .to_string(),
    );
    subject.cluster.ask(0, async |client| client.put_program(request).await).expect("put");
    for position in 0..3 {
        subject.in_pool(position, &asks("large")).expect(1).says("the model was called");
    }
}
