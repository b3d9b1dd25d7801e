//! A node on TCP in a directory of its own, and a project that is sent to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dspex_api::v1::Run;
use dspex_api::{Address, ApiError, Client, TimeLimits, Token};
use dspex_tests::{Dspex, Home, Project, Running, free_port, holds_within, places, wait_until};
use tempfile::TempDir;

/// Says where it is executed, and takes as long as it is told.
pub const PROGRAM: &str = r#"
from helping import half

HERE = os.path.dirname(os.path.abspath(__file__))

class Program(dspy.Module):
    def forward(self, n):
        time.sleep(float(os.environ.get("PAUSE", "0")))
        return dspy.Prediction(half=half(n), here=HERE, start=os.getcwd(), data=open("words.txt").read())

program = Program()

def metric(example, prediction):
    return prediction.half * 2 == int(example.n)
"#;

/// What a command takes that sends the project.
pub const EVAL: [&str; 8] =
    ["eval", "program.py:program", "--devset", "data.jsonl", "--metric", "program.py:metric", "-o", "json"];

pub struct Node {
    pub home: Home,
    pub directory: TempDir,
    pub api: u16,
    pub http: u16,
    pub running: Running,
}

impl Node {
    pub fn start() -> Self {
        Self::with("")
    }

    /// With more in its file.
    pub fn with(more: &str) -> Self {
        let (home, directory) = (Home::new(), tempfile::tempdir().expect("a directory"));
        let (api, http) = (free_port(), free_port());
        let file = format!(
            "[api]\nlisten = \"127.0.0.1:{api}\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n[python]\ninterpreter = \"{}\"\n{more}",
            places::interpreter().display()
        );
        let config = directory.path().join("dspex.toml");
        std::fs::write(&config, file).expect("written");
        let running = home.dspex(&["node", "--config"]).arg(&config).limit(Duration::from_secs(600)).start();
        let node = Self { home, directory, api, http, running };
        let answers = || node.ask(async |client| client.status().await).is_ok();
        assert!(holds_within(Duration::from_secs(60), answers), "{}", node.running.stderr());
        node
    }

    /// A command at this node.
    pub fn dspex(&self, arguments: &[&str]) -> Dspex {
        self.home.dspex(arguments).env("DSPEX_ADDRESS", format!("127.0.0.1:{}", self.api))
    }

    /// `dspex eval` in a project, which is sent.
    pub fn eval(&self, project: &Project) -> Dspex {
        self.dspex(&EVAL).directory(project.directory())
    }

    /// Asks it something over gRPC.
    pub fn ask<T>(&self, call: impl AsyncFnOnce(Client) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let address = format!("127.0.0.1:{}", self.api).parse::<Address>().expect("an address");
            let token = std::fs::read_to_string(self.directory.path().join("data/token")).unwrap_or_default();
            let token = Token::new(&token).unwrap_or_default();
            call(Client::connect(address, token, TimeLimits::default()).await?).await
        })
    }

    /// Where it keeps what was sent.
    pub fn bundles(&self) -> PathBuf {
        self.directory.path().join("data/bundles")
    }

    /// How many projects are unpacked.
    pub fn unpacked(&self) -> usize {
        std::fs::read_dir(self.bundles()).map_or(0, Iterator::count)
    }

    pub fn run(&self, id: &str) -> Run {
        self.ask(async |client| client.run(id).await).expect("the node knows the run")
    }

    /// Waits until the newest run has so many results.
    pub fn wait_for_results(&self, results: u32) -> Run {
        wait_until(&format!("{results} results are recorded"), Duration::from_secs(120), || {
            let runs = self.ask(async |client| client.list_runs(Default::default()).await).ok()?.items;
            runs.into_iter().next().filter(|run| run.done >= results)
        })
    }
}

/// A project with a module beside the program and a file that it reads.
pub fn project(examples: u32) -> Project {
    let project = Project::new(PROGRAM);
    project.file("helping.py", "def half(n):\n    return int(n) / 2\n").file("words.txt", "words").numbers(examples);
    project
}

/// The text of a prediction's field in the first result of a run.
pub fn predicted(node: &Node, run: &str, field: &str) -> String {
    let results = node.dspex(&["run", "results", run, "-o", "json"]).run().expect(0).object();
    results["items"][0]["prediction"][field].as_str().unwrap_or_else(|| panic!("{field}: {results}")).to_owned()
}

/// Whether a path lies below another.
pub fn lies_below(path: &str, above: &Path) -> bool {
    Path::new(path).starts_with(above.canonicalize().unwrap_or_else(|_| above.to_owned()))
}
