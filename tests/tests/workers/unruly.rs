//! Programs that do not die but misbehave: they print without end, close streams, fork, start threads, change directory.

use std::time::Duration;

use dspex_tests::{holds_within, process};

use crate::subject::Subject;

#[test]
fn two_hundred_megabytes_of_prints_are_bounded_and_cost_nothing_else() {
    const PRINTS: &str = r#"
def flood(n):
    line = "x" * 999 + "\n"
    for _ in range(200):
        sys.stdout.write(line * 1000)

def flood_without_lines(n):
    for _ in range(20):
        os.write(2, b"y" * 1_000_000)
"#;
    let subject = Subject::new(20, &[(7, "flood"), (13, "flood_without_lines")], PRINTS);
    let output = subject.eval().run().expect(0);
    subject.expect_failures(&output, &[]);
    output.says("left out");
    assert!(output.stderr.len() < 20_000_000, "{} bytes reached the terminal", output.stderr.len());
    assert!(subject.home.log().len() < 1_000_000, "prints of programs do not belong into the node's log");
    assert_eq!(subject.project.executions().total(), 20);
}

#[test]
fn a_program_that_closes_or_replaces_its_streams_still_answers() {
    const CLOSES: &str = r#"
def close_stdout(n):
    sys.stdout.close()
    os.close(1)
    os.close(2)

def replace(n):
    sys.stdout = sys.stderr = None
"#;
    let subject = Subject::new(20, &[(3, "close_stdout"), (11, "replace")], CLOSES);
    let output = subject.eval().run().expect(0);
    subject.expect_failures(&output, &[]);
    assert_eq!(subject.project.executions().total(), 20);
}

#[test]
fn a_fork_that_returns_from_the_program_never_answers_for_its_parent() {
    const FORKS: &str = r#"
def fork_and_return(n):
    child = os.fork()
    if child == 0:
        return
    os.waitpid(child, 0)

def fork_and_raise(n):
    if os.fork() == 0:
        raise ValueError("in the child")
    time.sleep(0.2)

def fork_and_stay(n):
    if os.fork() == 0:
        os.closerange(3, 10000)
        time.sleep(1000)

def pool(n):
    from multiprocessing import get_context
    with get_context("fork").Pool(2) as workers:
        assert workers.map(abs, [-1, -2]) == [1, 2]
"#;
    let acts = [(3, "fork_and_return"), (9, "fork_and_raise"), (15, "fork_and_stay"), (21, "pool")];
    let subject = Subject::new(28, &acts, FORKS);
    let output = subject.eval().limit(Duration::from_secs(60)).run().expect(0);
    subject.expect_failures(&output, &[]);
    assert_eq!(subject.project.executions().total(), 28);
}

#[test]
fn threads_directories_and_signals_of_one_example_do_not_harm_the_next() {
    const MEDDLES: &str = r#"
def start_threads(n):
    for _ in range(20):
        threading.Thread(target=time.sleep, args=(1000,)).start()

def raise_in_thread(n):
    def fail():
        raise ValueError("in a thread")
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()

def reap_strangers(n):
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        pass

def reseed(n):
    import random, numpy
    random.seed(0); numpy.random.seed(0)

def meddle_with_settings(n):
    dspy.settings.trace.append("rubbish")
    with dspy.context(lm=None, trace=[]):
        pass
"#;
    let acts = [
        (3, "start_threads"),
        (7, "raise_in_thread"),
        (11, "reap_strangers"),
        (15, "reseed"),
        (19, "meddle_with_settings"),
    ];
    let subject = Subject::new(24, &acts, MEDDLES);
    let output = subject.eval().run().expect(0);
    subject.expect_failures(&output, &[]);
    // The threads that still sleep keep neither the run nor the worker.
    assert!(output.took < Duration::from_secs(30), "{}", output.describe());
    let gone = || subject.home.workers().is_empty();
    assert!(holds_within(Duration::from_secs(5), gone), "workers stay after their run");
}

#[test]
fn predictions_of_any_shape_and_size_are_recorded() {
    const SHAPES: &str = r#"
import datetime, math
import pydantic

class Address(pydantic.BaseModel):
    street: str
    since: datetime.date

class Plain:
    pass

def answer(n):
    return [
        None,
        "text",
        dspy.Prediction(),
        dspy.Prediction(x=math.nan, y=math.inf),
        dspy.Prediction(when=datetime.datetime(2024, 1, 1), where=Address(street="a", since="2024-01-01")),
        dspy.Prediction(thing=Plain(), things={1, 2}, keys={1: 2}),
        dspy.Prediction(long="é" * 3_000_000),
        dspy.Prediction(longer="z" * 20_000_000),
        dspy.Prediction(broken="\udc80", nested=[[[{"a": [1, 2]}]]]),
        [1, 2],
    ][n % 10]

def forward(self, n, act):
    return answer(n)

Program.forward = forward
"#;
    let subject = Subject::new(30, &[], SHAPES);
    let first = subject.eval().run().expect(0);
    let results = subject.expect_failures(&first, &[]);
    let prediction = |index: u32| results[&index]["prediction"].clone();
    assert_eq!(prediction(4)["where"]["street"], "a", "{}", prediction(4));
    assert_eq!(prediction(5)["thing"]["$lossy"], "program.Plain", "{}", prediction(5));
    assert_eq!(prediction(6)["long"].as_str().map(|text| text.chars().count()), Some(3_000_000));
    assert!(prediction(7).to_string().len() < 100_000, "a prediction beyond the limit is named, not kept");
    // Addresses in a repr do not reach the digest.
    assert_eq!(subject.eval().result()["digest"], first.object()["digest"]);
}

#[test]
fn what_a_program_leaves_for_its_end_is_done() {
    const LEAVES: &str = r#"
import atexit
log = open("log.txt", "a")

@atexit.register
def last_words():
    with open("ends.txt", "a") as ends:
        ends.write("end\n")

def write(n):
    log.write(f"{n}\n")
"#;
    let all: Vec<(u32, &str)> = (0..20).map(|n| (n, "write")).collect();
    let subject = Subject::new(20, &all, LEAVES);
    // One worker: of two, the second may come too late to have anything to end.
    subject.home.eval(&subject.project).args(["--num-threads", "2", "--workers", "1"]).run().expect(0);
    let lines = |name: &str| subject.project.read(name).lines().count();
    let written = || subject.project.path("ends.txt").exists() && lines("ends.txt") == 1 && lines("log.txt") == 20;
    assert!(holds_within(Duration::from_secs(10), written), "it wrote {} lines", lines("log.txt"));
}

#[test]
fn a_program_that_only_one_process_can_load_goes_on_with_one_worker() {
    const EXCLUSIVE: &str =
        "\nimport fcntl\nheld = open('lock', 'w')\nfcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)\n";
    let subject = Subject::new(400, &[], EXCLUSIVE);
    let output = subject.eval().env("PAUSE", "0.05").run().expect(0);
    output.says("5 workers in a row did not start").says("the run goes on with 1").says("--workers 1");
    subject.expect_failures(&output, &[]);
}

#[test]
fn a_new_worker_never_runs_another_program_than_the_run_began_with() {
    let subject = Subject::new(400, &[], "");
    let eval = subject.eval().env("PAUSE", "0.05").start();
    subject.home.wait_for_results(20);
    let first = subject.project.read("program.py");
    subject.project.file("program.py", first.clone() + "\nanother = True\n");
    let victim = subject.home.workers().into_iter().find(|worker| worker.pid > 0).expect("a worker");
    process::kill(victim.pid);
    eval.finish().expect(1).says("program.py changed while the run was under way").says("dspex run resume");
    // With the file as it was the run goes on.
    subject.project.file("program.py", first);
    let output = subject.eval().env("PAUSE", "0.05").args(["--resume"]).run().expect(0);
    subject.expect_failures(&output, &[]);
}
