//! Every way in which a process can end under its program's hands: the example is blamed, the others have their results.

use crate::subject::Subject;

const DEATHS: &str = r#"
def exit_by_hand(n):
    os._exit(0)

def segfault(n):
    ctypes.string_at(0)

def abort(n):
    os.abort()

def kill_group(n):
    os.killpg(os.getpgid(0), signal.SIGKILL)

def terminate(n):
    signal.raise_signal(signal.SIGTERM)
    time.sleep(1)

def close_descriptors(n):
    os.closerange(3, 10000)

def shut_down_sockets(n):
    import socket
    for descriptor in range(3, 1024):
        try:
            socket.socket(fileno=os.dup(descriptor)).shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

def kill_itself(n):
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1)
"#;

#[test]
fn an_example_that_ends_its_process_fails_as_worker_lost_and_all_others_have_results() {
    let subject = Subject::new(1, &[], DEATHS);
    for act in [
        "exit_by_hand",
        "segfault",
        "abort",
        "kill_group",
        "terminate",
        "close_descriptors",
        "shut_down_sockets",
        "kill_itself",
    ] {
        subject.acts(40, &[(17, act)]);
        let output = subject.eval().run();
        assert_eq!(output.code, Some(0), "{act}\n{}", output.describe());
        let results = subject.expect_failures(&output, &[(17, "WorkerLost")]);
        let executions = subject.project.executions();
        // Once among its neighbours, which is not charged, then alone: once, and once more for --retries 1.
        assert!((2..=3).contains(&executions.of(17)), "{act} was executed {} times", executions.of(17));
        let repeated = executions.total() - executions.of(17) - 39;
        assert!(repeated <= 16, "{act}: {repeated} innocent executions were repeated");
        eprintln!("{act}: {}", results[&17]["failure"]["message"]);
    }
}

const RAISES: &str = r#"
def leave(n):
    sys.exit(7)

def interrupt(n):
    raise KeyboardInterrupt("by hand")

class Odd(BaseException):
    pass

def odd(n):
    raise Odd("odd one")

class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")

def mute(n):
    raise Mute()

def recurse(n):
    recurse(n)

def circular(n):
    class Several(ValueError):
        pass
    error = Several("several")
    error.__cause__ = error.__context__ = error
    raise error

def long_words(n):
    raise ValueError("x" * 5_000_000)

def surrogate(n):
    raise ValueError("\udc80 broken \x00 text")
"#;

#[test]
fn whatever_an_example_raises_is_its_failure_and_the_worker_lives_on() {
    let subject = Subject::new(
        48,
        &[
            (3, "leave"),
            (9, "interrupt"),
            (15, "odd"),
            (21, "mute"),
            (27, "recurse"),
            (33, "circular"),
            (39, "long_words"),
            (45, "surrogate"),
        ],
        RAISES,
    );
    let output = subject.eval().args(["--max-errors", "99"]).run().expect(0);
    subject.expect_failures(
        &output,
        &[
            (3, "SystemExit"),
            (9, "KeyboardInterrupt"),
            (15, "program.Odd"),
            (21, "program.Mute"),
            (27, "RecursionError"),
            (33, "program.circular.<locals>.Several"),
            (39, "ValueError"),
            (45, "ValueError"),
        ],
    );
    assert_eq!(subject.project.executions().total(), 48, "nobody is executed again");
    assert!(output.stderr.len() < 200_000, "a message of 5 MB is cut");
}

#[test]
fn a_program_without_threads_of_its_own_dies_alone_with_one_thread() {
    let subject = Subject::new(30, &[(11, "die"), (12, "die"), (29, "die")], "");
    let output = subject.home.eval(&subject.project).args(["--num-threads", "1"]).run().expect(0);
    subject.expect_failures(&output, &[(11, "WorkerLost"), (12, "WorkerLost"), (29, "WorkerLost")]);
}
