//! What a file may say, and what it makes of a node.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use dspex_actors::PoolClass;
use dspex_transport::Security;

use super::key::{self, names_in};
use super::kind::Kind;
use super::*;

fn layers(text: &str, variables: &[(&str, &str)]) -> Result<Layers, Problems> {
    let variables = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Layers::of_text(text, Path::new("dspex.toml"), Path::new("/etc/dspex"))?.with(variables)
}

fn read(text: &str) -> Result<Configuration, Problems> {
    Configuration::of(layers(text, &[])?)
}

fn valid(text: &str) -> Configuration {
    read(text).unwrap_or_else(|problems| panic!("{text}: {problems}"))
}

/// Everything that is said of a file, whether it cannot be read or the node would not start.
fn said(text: &str) -> String {
    let problems = read(text).map_or_else(|Problems(problems)| problems, |configuration| problems(&configuration));
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn what_is_set_stands_and_the_rest_has_its_default() {
    let text =
        "[pools.general]\nworkers = 3\nqueue_timeout_s = 0.5\nmemory_limit = \"512MiB\"\ncommands = [\"tools.py\"]";
    let pools = valid(text).pools(2, None);
    let general = &pools.classes[&PoolClass::General];
    assert_eq!((general.workers, general.queue_timeout), (3, Duration::from_millis(500)));
    assert_eq!((general.memory_limit, general.queue_max), (Some(512 << 20), 1000));
    assert_eq!(pools.classes[&PoolClass::Optimizer].execution_timeout, Duration::from_secs(14_400));
    assert!(valid(text).limits_memory() && !valid("").limits_memory());
    let few = valid("[pools.general]\nworkers = 3\nprocesses_max = 2").pools(2, None);
    let general = &few.classes[&PoolClass::General];
    assert_eq!((general.workers, general.processes_max), (2, 2), "a pool does not wait for itself");
    assert_eq!(few.classes[&PoolClass::Optimizer].processes_max, 64);
}

#[test]
fn sessions_have_what_is_set_for_them_and_else_what_the_general_pool_has() {
    let general = "[pools.general]\nmemory_limit = \"512MiB\"\nexecution_timeout_s = 7\ncommands = [\"tools.py\"]\n";
    let sessions = |more: &str| valid(&format!("{general}{more}")).pools(2, None).sessions;
    let plain = sessions("");
    assert_eq!(plain, valid(general).pools(2, None).classes[&PoolClass::General]);
    let own = "[sessions]\nmemory_limit = \"1GiB\"\nqueue_timeout_s = 2\nexecution_timeout_s = 90";
    let set = sessions(own);
    assert_eq!((set.memory_limit, set.queue_timeout), (Some(1 << 30), Duration::from_secs(2)));
    assert_eq!((set.execution_timeout, set.commands), (Duration::from_secs(90), plain.commands));
    // And the general pool has nothing of theirs.
    assert_eq!(valid(own).pools(2, None).classes, valid("").pools(2, None).classes);
    assert!(valid(own).limits_memory(), "a machine without cgroups is warned of it");
}

#[test]
fn zero_seconds_of_idleness_stand_for_ever() {
    let idle = |text: &str| valid(text).pools(2, None).classes[&PoolClass::General].idle_timeout;
    assert_eq!(idle("[pools.general]\nidle_timeout_s = 0"), None);
    assert_eq!(idle("[pools.general]\nidle_timeout_s = 7"), Some(Duration::from_secs(7)));
    assert_eq!(idle(""), Some(Duration::from_secs(300)));
}

#[test]
fn an_error_names_the_line_the_key_the_value_and_what_is_allowed() {
    for (text, phrases) in [
        ("colour = 1", &["dspex.toml:1", "colour", "data_dir"][..]),
        ("[pools.general]\nworker = 1", &["dspex.toml:2: pools.general.worker", "workers"]),
        ("[pools.genral]\nworkers = 1", &["dspex.toml:1: pools.genral", "general, optimizer, inference"]),
        (
            "[pools.general]\nrecord = \"some\"",
            &["pools.general.record = \"some\"", "one of \"none\", \"programs\", \"all\""],
        ),
        ("\n[pools.general]\nworkers = 0", &["dspex.toml:3: pools.general.workers = 0", "between 1 and 64"]),
        ("[pools.general]\nqueue_timeout_s = -1", &["pools.general.queue_timeout_s = -1", "more than 0"]),
        ("[pools.general]\nmemory_limit = \"lots\"", &["pools.general.memory_limit = \"lots\"", "512MiB"]),
        ("api = 3", &["dspex.toml:1: api = 3", "[api]", "listen"]),
        ("[api]\nlisten = 3", &["dspex.toml:2: api.listen = 3", "127.0.0.1:7400"]),
        ("data_dir = \"\"", &["data_dir", "a path"]),
        ("data_dir = {a = 1}", &["data_dir", "a path"]),
        ("[cluster]\njoin = [\"a\"]", &["cluster.join", "HOST:PORT"]),
        ("[cluster]\nbootstrap_expect = 99", &["cluster.bootstrap_expect = 99", "between 0 and 7"]),
        ("[api\nlisten = 1", &["dspex.toml:"]),
        ("a = 1\na = 2", &["dspex.toml:2: ", "duplicate"]),
    ] {
        let said = read(text).expect_err(text).to_string();
        for phrase in phrases {
            assert!(said.contains(phrase), "{text}: {phrase:?} is not in {said}");
        }
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let Problems(problems) = read("colour = 1\n[pools.general]\nworkers = 0\nthreads = 0").expect_err("three errors");
    assert_eq!(problems.len(), 3, "{problems:?}");
}

#[test]
fn the_value_of_an_unknown_key_is_not_repeated() {
    let said = read("password = \"hunter2hunter2\"").expect_err("unknown").to_string();
    assert!(said.contains("password") && !said.contains("hunter2"), "{said}");
}

#[test]
fn a_node_listens_beyond_loopback_with_a_certificate_only() {
    let alone = valid("").listeners().expect("valid");
    assert_eq!((alone.api.to_string().as_str(), alone.certificate), ("127.0.0.1:7400", None));
    let files = "certificate = \"c.pem\"\nkey = \"c.key\"\n";
    let open = valid(&format!("[api]\nlisten = \"0.0.0.0:1\"\n{files}[http]\nlisten = \"[::]:2\""))
        .listeners()
        .expect("valid");
    assert!(open.certificate.is_some() && !open.api.ip().is_loopback() && !open.http.ip().is_loopback());
    for (text, named) in [
        ("[api]\nlisten = \"0.0.0.0:7400\"", "api.listen = \"0.0.0.0:7400\""),
        ("[http]\nlisten = \"10.0.0.1:7480\"", "http.listen = \"10.0.0.1:7480\""),
        ("[api]\nlisten = \"0.0.0.0:7400\"", "dspex cert init"),
        ("[api]\nlisten = \"0.0.0.0:7400\"\ncertificate = \"c.pem\"", "belong together"),
        ("[api]\nkey = \"c.key\"", "belong together"),
    ] {
        let error = valid(text).listeners().expect_err(text).to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
    let twice = said("[api]\nlisten = \"127.0.0.1:7000\"\n[http]\nlisten = \"127.0.0.1:7000\"");
    assert!(twice.contains("http.listen") && twice.contains("the port of api.listen"), "{twice}");
}

#[test]
fn a_node_has_peers_when_the_file_says_so() {
    let peers = |text: &str| valid(text).peers().map_err(|problem| problem.to_string());
    assert!(peers("").expect("valid").is_none());
    let alone = peers("[peers]\nplaintext = true").expect("valid").expect("peers");
    assert_eq!((alone.advertise.as_str(), alone.formation.expect), ("127.0.0.1:7410", 1));
    assert!(matches!(alone.security, Security::Plain));
    let three = "[peers]\nplaintext = true\n[cluster]\njoin = [\"a:1\", \"b:1\", \"c:1\"]\nbootstrap_expect = 3";
    assert_eq!(peers(three).expect("valid").expect("peers").formation.join.len(), 3);
    let own =
        "[peers]\nplaintext = true\n[cluster]\njoin = [\"127.0.0.1:7410\", \"b:1\", \"c:1\"]\nbootstrap_expect = 3";
    assert_eq!(peers(own).expect("valid").expect("peers").formation.join, ["b:1", "c:1"], "nobody asks itself");
    // Without a number it never forms a cluster: it is to be admitted to one.
    let joining = peers("[peers]\nplaintext = true\n[cluster]\njoin = [\"a:1\"]").expect("valid").expect("peers");
    assert_eq!(joining.formation.expect, 0);
    for (text, named) in [
        ("[peers]\nplaintext = true\n[cluster]\njoin = [\"a:1\"]\nbootstrap_expect = 3", "names 1 nodes"),
        (
            "[peers]\nplaintext = true\n[cluster]\njoin = [\"a:1\", \"b:1\"]\nbootstrap_expect = 1",
            "leave bootstrap_expect out",
        ),
        ("[peers]\nlisten = \"0.0.0.0:7410\"", "peers.advertise"),
        ("[peers]\nlisten = \"10.0.0.1:7410\"\nplaintext = true", "dspex cert init"),
        ("[peers]", "peers.plaintext = true"),
        ("[peers]\nplaintext = true\nca = \"a\"\ncertificate = \"b\"\nkey = \"c\"", "leave one or the other out"),
        ("[peers]\nca = \"ca.pem\"", "peers.certificate: it is missing; peers.ca"),
    ] {
        let error = peers(text).expect_err(text);
        assert!(error.contains(named), "{text}: {error}");
    }
}

#[test]
fn files_that_are_not_there_are_named_before_the_start() {
    let text = "[python]\ninterpreter = \"/nonexistent/python\"\ndirectory = \"/nonexistent\"\n[peers]\nca = \"ca.pem\"\n\
                certificate = \"/nonexistent/node.pem\"\nkey = \"node.key\"\n[pools.general]\npython = \"/nonexistent/other\"";
    let said = said(text);
    for phrase in [
        "python.interpreter = \"/nonexistent/python\"",
        "/etc/dspex/ca.pem",
        "peers.certificate",
        "peers.key",
        "python.directory",
        "pools.general.python = \"/nonexistent/other\"",
    ] {
        assert!(said.contains(phrase), "{phrase:?} is not in {said}");
    }
}

#[test]
fn a_sandbox_has_what_is_set_and_hides_what_is_the_nodes() {
    let home = Path::new("/home/u/.dspex");
    let setup = |text: &str| valid(text).sandbox(home);
    let plain = setup("").expect("it is on");
    assert_eq!(plain.settings, dspex_sandbox::Settings::default());
    assert_eq!(plain.directories, Path::new("/etc/dspex/data/workers"));
    assert_eq!(plain.hidden, [Path::new("/etc/dspex/data"), home]);
    assert!(plain.programs.is_empty() && plain.interpreters.is_empty());
    let text = "[python]\ninterpreter = \"/venv/bin/python\"\ndirectory = \"app\"\n[api]\ncertificate = \"c.pem\"\nkey = \"c.key\"\n\
                [environments.nlp]\npython = \"/third/python\"\n[pools.inference]\npython = \"/other/python\"\ndirectory = \"/srv\"\n[sandbox]\nnetwork = \"none\"\ndisk = \"1MiB\"\n\
                processes = 20\nreadable = [\"models\"]\ndirectory = \"/scratch\"";
    let set = setup(text).expect("it is on");
    assert_eq!((set.settings.network, set.settings.disk_bytes), (dspex_sandbox::Network::None, 1 << 20));
    assert_eq!((set.settings.processes, set.settings.open_files), (20, 1024));
    assert_eq!(set.settings.readable, [Path::new("/etc/dspex/models")]);
    assert_eq!(set.directories, Path::new("/scratch"));
    assert_eq!(set.hidden, [Path::new("/etc/dspex/data"), Path::new("/etc/dspex/c.key"), home]);
    assert_eq!(set.programs, [Path::new("/etc/dspex/app"), Path::new("/srv")]);
    assert_eq!(set.interpreters, ["/venv/bin/python", "/other/python", "/third/python"].map(Path::new));
    let off = valid("[sandbox]\nmode = \"off\"");
    assert!(!off.is_sandboxed() && off.sandbox(home).is_none());
}

#[test]
fn a_sandbox_that_would_give_the_node_away_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().display();
    std::fs::create_dir_all(directory.path().join("data/inner")).expect("made");
    std::fs::create_dir(directory.path().join("app")).expect("made");
    let said = |sandbox: &str| {
        let configuration =
            valid(&format!("data_dir = \"{root}/data\"\n{}", sandbox.replace("ROOT", &root.to_string())));
        configuration.wrong_in_sandbox().iter().map(|problem| format!("{problem}\n")).collect::<String>()
    };
    for fine in [
        "[python]\ndirectory = \"ROOT\"",
        "[sandbox]\nreadable = [\"ROOT/app\", \"/usr\"]\nwritable = [\"ROOT/app\"]",
        "[python]\ndirectory = \"ROOT/data\"\n[sandbox]\nmode = \"off\"",
    ] {
        assert_eq!(said(fine), "", "{fine}");
    }
    for (wrong, phrases) in [
        ("[python]\ndirectory = \"ROOT/data/inner\"", ["python.directory", "no program may read"]),
        ("[pools.general]\ndirectory = \"ROOT/data\"", ["pools.general.directory", "no program may read"]),
        ("[sandbox]\nreadable = [\"ROOT/data\"]", ["sandbox.readable", "no program may read"]),
        ("[sandbox]\nreadable = [\"/\"]", ["sandbox.readable", "whole machine"]),
        ("[sandbox]\nreadable = [\"/nonexistent\"]", ["sandbox.readable", "/nonexistent: No such file"]),
        ("[sandbox]\nwritable = [\"ROOT\"]", ["sandbox.writable", "a program could change"]),
        ("[sandbox]\nwritable = [\"ROOT/data/inner\"]", ["sandbox.writable", "a program could change"]),
    ] {
        let told = said(wrong);
        assert!(phrases.iter().all(|phrase| told.contains(phrase)), "{wrong}: {told}");
    }
}

#[test]
fn whoever_may_read_beside_the_nodes_data_is_known() {
    let beside = |text: &str| valid(text).readable_beside_data();
    assert!(beside("data_dir = \"/var/lib/dspex\"").is_empty());
    // Every program reads the system's.
    assert_eq!(beside("data_dir = \"/usr/local/dspex\""), [Path::new("/usr")]);
    let text = "data_dir = \"/srv/app/data\"\n[python]\ndirectory = \"/srv/app\"\n[sandbox]\nreadable = [\"/srv\", \"/models\"]";
    assert_eq!(beside(text), ["/srv/app", "/srv"].map(Path::new));
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    assert_eq!(valid("").data_dir, Path::new("/etc/dspex/data"));
    assert_eq!(valid("data_dir = \"kept\"").data_dir, Path::new("/etc/dspex/kept"));
    assert_eq!(valid("data_dir = \"/kept\"").data_dir, Path::new("/kept"));
    let text = "[peers]\nca = \"ca.pem\"\ncertificate = \"/node.pem\"\nkey = \"node.key\"";
    let Some(Security::Tls { ca, certificate, .. }) = valid(text).peers().expect("valid").map(|peers| peers.security)
    else {
        panic!("TLS is wanted");
    };
    assert_eq!((ca.as_path(), certificate.as_path()), (Path::new("/etc/dspex/ca.pem"), Path::new("/node.pem")));
}

#[test]
fn the_environment_goes_before_the_file() {
    let variables = [
        ("DSPEX_POOLS__GENERAL__WORKERS", "5"),
        ("DSPEX_API__LISTEN", "127.0.0.1:1"),
        ("DSPEX_CLUSTER__JOIN", "a:1,b:1"),
        ("DSPEX_CLUSTER__BOOTSTRAP_EXPECT", "3"),
        ("DSPEX_DATA_DIR", "/elsewhere"),
        ("DSPEX_NODE__NAME", "7"),
        // Others' names.
        ("DSPEX_HOME", "/h"),
        ("DSPEX_TEST_PYTHON", "/p"),
        ("HOME", "/root"),
    ];
    let read = Configuration::of(
        layers("[pools.general]\nworkers = 3\n[peers]\nplaintext = true", &variables).expect("valid"),
    )
    .expect("valid");
    assert_eq!(read.pools(2, None).classes[&PoolClass::General].workers, 5);
    assert_eq!(read.api_address(), Ok("127.0.0.1:1".parse().expect("an address")));
    assert_eq!(read.peers().expect("valid").expect("peers").formation.join, ["a:1", "b:1"]);
    assert_eq!((read.data_dir.as_path(), read.node_name().as_str()), (Path::new("/elsewhere"), "7"));
}

#[test]
fn a_variable_that_is_wrong_is_named() {
    for (name, text, phrase) in [
        ("DSPEX_POOLS__GENERAL__WORKERS", "many", "pools.general.workers = \"many\": must be a whole number"),
        ("DSPEX_POOLS__GENERAL__WORKER", "1", "pools.general.worker: there is no such key"),
        ("DSPEX_DATA_DIR__X", "1", "data_dir"),
        ("DSPEX_API", "1", ""),
    ] {
        let said =
            layers("data_dir = \"d\"", &[(name, text)]).map_or_else(|problems| problems.to_string(), |_| String::new());
        assert!(said.contains(phrase), "{name}: {said}");
        // Names without two underscores are others'.
        assert_eq!(said.contains(name), name.contains("__"), "{name}: {said}");
    }
}

#[test]
fn environments_have_names_of_their_own_and_a_python() {
    let program = std::env::current_exe().expect("this program").display().to_string();
    let python = format!("[python]\ninterpreter = \"{program}\"\n");
    let two =
        valid(&format!("{python}[environments.b]\npython = \"{program}\"\n[environments.a]\npython = \"{program}\""));
    let names: Vec<String> = two.environments().expect("valid").into_iter().map(|named| named.name).collect();
    assert_eq!(names, ["default", "a", "b"]);
    for (text, phrase) in [
        ("[environments.default]\npython = \"/p\"", "that of [python] has this name"),
        ("[environments.nlp]\n", "environments.nlp: python is not set"),
        (
            "[environments.nlp]\npython = \"/nonexistent\"",
            "environments.nlp.python = \"/nonexistent\": /nonexistent: No such file",
        ),
        ("[environments.\"a b\"]\npython = \"/p\"", "letters, digits"),
        ("[environments]\nnlp = 3", "must be a section, [environments.nlp], with python"),
        ("environments = 3", "must be a section, [environments], with NAME"),
        ("[environments.nlp]\npyton = \"/p\"", "there is no such key; environments.nlp has python"),
        ("[bundles]\ncache_max = \"1MiB\"", "must not be less than bundles.size_max"),
        ("[bundles]\nsize_max = 0", "bundles.size_max = 0: must be a size"),
    ] {
        // What stands in no section comes before all of them.
        let file = if text.starts_with('[') { format!("{python}{text}") } else { format!("{text}\n{python}") };
        assert!(said(&file).contains(phrase), "{text}: {}", said(&file));
    }
}

#[test]
fn sent_projects_have_the_room_that_the_table_says() {
    let preset = valid("").bundles();
    assert_eq!((preset.size_max, preset.cache_max), (256 << 20, 2 << 30));
    let set = valid("[bundles]\nsize_max = \"1MiB\"\ncache_max = 5000000").bundles();
    assert_eq!((set.size_max, set.cache_max), (1 << 20, 5_000_000));
}

/// The names that the parser would have taken: serde lists them with an unknown one.
fn taken_by_the_parser(section: &str) -> BTreeSet<String> {
    const UNKNOWN: &str = "nothing_has_this_name = 1";
    let text = if section.is_empty() { UNKNOWN.to_owned() } else { format!("[{section}]\n{UNKNOWN}") };
    let error = toml::from_str::<Configuration>(&text).expect_err("unknown");
    error.message().split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_parser_and_the_table_know_the_same_keys() {
    let pools = ["pools.general", "pools.inference"];
    for section in
        ["", "node", "cluster", "peers", "api", "http", "python", "sandbox", "bundles", "sessions", "environments.nlp"]
            .into_iter()
            .chain(pools)
    {
        let table: BTreeSet<String> = names_in(section).into_iter().collect();
        assert_eq!(taken_by_the_parser(section), table, "[{section}]");
    }
}

#[test]
fn the_parser_takes_what_the_table_allows() {
    for full in key::all().chain(key::of_environment("nlp")) {
        let written = match full.key.kind {
            Kind::Text | Kind::Beside => "\"a\"".to_owned(),
            Kind::Choice(words) => format!("\"{}\"", words[0]),
            Kind::Texts | Kind::AllBeside => "[\"a\"]".to_owned(),
            Kind::Address => "\"127.0.0.1:1\"".to_owned(),
            Kind::HostPort => "\"a:1\"".to_owned(),
            Kind::HostPorts => "[\"a:1\"]".to_owned(),
            Kind::Count { most, .. } => most.to_string(),
            Kind::Seconds { .. } => "1".to_owned(),
            Kind::Size => "\"1MiB\"".to_owned(),
            Kind::Switch => "true".to_owned(),
        };
        valid(&format!("{} = {written}", full.name));
    }
}
