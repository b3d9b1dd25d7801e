//! Every form of PROGRAM, METRIC, LM and state that the contract names.

use dspex_tests::{Home, Project, expect_fields, python};
use serde_json::json;

const PROGRAM: &str = r#"
class Program(dspy.Module):
    def forward(self, n):
        return dspy.Prediction(twice=2 * n)

class Later(dspy.Module):
    async def aforward(self, n):
        return dspy.Prediction(twice=2 * n)

class Family:
    member = Program()

program = Program()
later = Later()

def make():
    return Program()

def metric(example, prediction):
    return prediction.twice == 2 * example.n

class Metric(dspy.Module):
    def forward(self, example, prediction):
        return dspy.Prediction(score=float(metric(example, prediction)))

class Callable:
    def __call__(self, example, prediction, trace=None):
        return metric(example, prediction)

judge = Metric()
called = Callable()
"#;

#[test]
fn every_form_of_program_and_metric_is_taken() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(6);
    project.file("package/__init__.py", "").file("package/inner.py", project.read("program.py"));
    for program in [
        "program.py:program",
        "program.py:Program",
        "program.py:make",
        "program.py:later",
        "program.py:Later",
        "program.py:Family.member",
        "program:program",
        "package.inner:make",
        "package/inner.py:program",
    ] {
        let result = home.eval(&project).program(program).metric("program.py:metric").result();
        expect_fields(&result, json!({"score": 100.0, "failed": 0}));
    }
    let absolute = project.path("program.py");
    let absolute = format!("{}:program", absolute.display());
    for (metric, name) in [
        ("metric", "metric"),
        ("program:metric", "metric"),
        ("program.py:judge", "Metric"),
        ("program.py:Metric", "Metric"),
        ("program.py:called", "Callable"),
        ("package.inner:metric", "metric"),
    ] {
        let result = home.eval(&project).program(&absolute).metric(metric).result();
        expect_fields(&result, json!({"score": 100.0, "metric": name}));
    }
}

#[test]
fn names_may_hold_spaces_letters_of_any_language_and_dashes() {
    let (home, project) = (Home::new(), Project::new(PROGRAM));
    project.numbers(6);
    project.file("my dir/prógram-1 v2.py", project.read("program.py"));
    project.file("my dir/dätä 1.jsonl", project.read("data.jsonl"));
    let eval = home.eval(&project).program("my dir/prógram-1 v2.py:program").metric("metric");
    let eval = eval.devset("my dir/dätä 1.jsonl").args(["--save", "my dir/résults.csv"]);
    assert_eq!(eval.result()["score"], 100.0);
    assert_eq!(project.read("my dir/résults.csv").lines().count(), 7);
}

const WITH_MODEL: &str = r#"
from dspy.lm15 import Message, Response, TextPart, Usage

class Engine:
    def complete(self, request):
        text = f"[[ ## answer ## ]]\n{request.model}\n\n[[ ## completed ## ]]"
        return Response(id=None, model=request.model, message=Message.assistant([TextPart(text)]), finish_reason="stop",
                        usage=Usage(input_tokens=3, output_tokens=2, total_tokens=5))
    def close(self):
        pass

def model(name):
    return dspy.LM(f"offline/{name}", engine=Engine(), cache=False)

mine = model("mine")

def made():
    return model("made")

dspy.configure(lm=model("configured"))

class Program(dspy.Module):
    def __init__(self):
        super().__init__()
        self.ask = dspy.Predict("question -> answer")
    def forward(self, question):
        answer = self.ask(question=question).answer
        return dspy.Prediction(answer=answer, temperature=dspy.settings.lm.kwargs.get("temperature"))

class Loyal(Program):
    def __init__(self):
        super().__init__()
        self.ask.lm = model("own")

def metric(example, prediction):
    return prediction.answer == example.wanted and prediction.temperature == example.temperature
"#;

#[test]
fn the_predictors_own_model_goes_before_the_option_and_that_before_the_files() {
    let (home, project) = (Home::new(), Project::new(WITH_MODEL));
    let temperature = ["--lm-set", "temperature=0.25"];
    let row = |wanted: &str, temperature: &str| {
        format!("{{\"question\": \"who?\", \"wanted\": \"offline/{wanted}\", \"temperature\": {temperature}}}\n")
    };
    for (program, options, answers, said) in [
        ("program.py:Program", vec![], row("configured", "null"), "LM: offline/configured (configured by the program)"),
        ("program.py:Program", vec!["--lm", "program.py:mine"], row("mine", "null"), "LM: offline/mine (--lm)"),
        ("program.py:Program", vec!["--lm", "program:made"], row("made", "null"), "LM: offline/made (--lm)"),
        (
            "program.py:Program",
            [&["--lm", "program.py:mine"][..], &temperature].concat(),
            row("mine", "0.25"),
            "LM: offline/mine (--lm)",
        ),
        ("program.py:Loyal", vec!["--lm", "program.py:mine"], row("own", "null"), "LM: offline/own (program's own)"),
    ] {
        project.file("data.jsonl", answers.repeat(4));
        let output = home.eval(&project).program(program).args(&options).run().expect(0);
        output.says(said);
        let result = output.object();
        assert_eq!(result["score"], 100.0, "{program} {options:?}\n{}", output.describe());
        let used: u64 =
            result["usage"].as_object().expect("usage").values().filter_map(|one| one["total_tokens"].as_u64()).sum();
        assert_eq!(used, 20, "4 calls of 5 tokens: {result}");
    }
}

#[test]
fn a_saved_state_is_loaded_before_the_evaluation() {
    let (home, project) = (Home::new(), Project::empty());
    python(
        &project,
        "from dspex.samples import digits; digits.few_shot_16().save('demos.json'); digits.few_shot_16().save('demos.pkl')",
        &[],
    )
    .expect(0);
    let digits = |state: Option<&str>| {
        let eval = home.eval(&project).program("dspex.samples.digits:zero_shot");
        let eval = eval.devset("dspex.samples.digits:devset").metric("dspex.samples.digits:exact");
        let eval = eval.args(["--lm", "dspex.samples.digits:lm"]);
        eval.args(state.into_iter().flat_map(|state| ["--load", state])).result()
    };
    assert_eq!(digits(None)["score"], 9.5);
    let few_shot = digits(Some("demos.json"));
    assert_eq!(few_shot["score"], 60.5);
    assert_eq!(digits(Some("demos.pkl"))["digest"], few_shot["digest"]);
}
