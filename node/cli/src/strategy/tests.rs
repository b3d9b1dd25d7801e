use dspex_api::v1::{Run, RunStatus};
use proptest::prelude::*;
use proptest::strategy::Strategy as Generates;

use super::history::{least_startup, newest};
use super::{
    Choice, Dataset, Duration, Elsewhere, Expected, Facts, Measured, Named, Reach, Reason, Strategy, Subject, Wish,
    choose, is_open,
};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn measured(examples: u32, at_once: u32, startup_ms: u64, execution_ms: u64) -> Measured {
    Measured { examples, at_once, startup: ms(startup_ms), execution: ms(execution_ms) }
}

/// A cluster that answers and of which nothing else is known.
fn facts() -> Facts {
    Facts {
        wish: Wish::Auto,
        named: Named::Cluster,
        bound: None,
        cluster: Reach::There(Elsewhere::default()),
        here: None,
        examples: None,
        at_once: None,
    }
}

#[test]
fn each_fact_leads_to_its_place_and_its_reason() {
    let away = || Reach::Away("no node answers at 10.0.0.1:7400".to_owned());
    let option = || Some("--detach".to_owned());
    let table = [
        (Facts { named: Named::Nothing, ..facts() }, "local", "no_address"),
        (Facts { named: Named::Nothing, bound: option(), ..facts() }, "local", "no_address"),
        (Facts { named: Named::Socket, ..facts() }, "local", "socket_address"),
        (Facts { named: Named::Socket, bound: option(), ..facts() }, "local", "socket_address"),
        (facts(), "distributed", "costs_unknown"),
        (Facts { cluster: Reach::Unasked, ..facts() }, "distributed", "costs_unknown"),
        (Facts { cluster: away(), ..facts() }, "local", "cluster_unavailable"),
        (Facts { cluster: away(), bound: option(), ..facts() }, "distributed", "needs_cluster"),
        (Facts { cluster: away(), wish: Wish::Distributed, ..facts() }, "distributed", "forced"),
        (Facts { wish: Wish::Distributed, ..facts() }, "distributed", "forced"),
        (Facts { wish: Wish::Local, ..facts() }, "local", "forced"),
        (Facts { wish: Wish::Local, bound: option(), ..facts() }, "local", "forced"),
    ];
    for (facts, strategy, reason) in table {
        let choice = choose(&facts);
        assert_eq!((choice.strategy.name(), choice.reason.name()), (strategy, reason), "{facts:?}");
        assert_eq!(choice.fields()["strategy_detail"], choice.reason.to_string(), "{facts:?}");
    }
}

#[test]
fn only_what_is_open_is_asked_for() {
    assert!(is_open(Wish::Auto, Named::Cluster, None));
    assert!(!is_open(Wish::Auto, Named::Cluster, Some("--resume")));
    assert!(!is_open(Wish::Auto, Named::Nothing, None) && !is_open(Wish::Auto, Named::Socket, None));
    assert!(!is_open(Wish::Local, Named::Cluster, None) && !is_open(Wish::Distributed, Named::Cluster, None));
}

/// 8 at once, of which each took 100 ms; a run began after 500 ms.
fn tiny_here() -> Measured {
    measured(80, 8, 500, 1000)
}

fn chosen(examples: u32, at_once: Option<u32>, elsewhere: Elsewhere) -> Choice {
    let cluster = Reach::There(elsewhere);
    choose(&Facts { cluster, here: Some(tiny_here()), examples: Some(examples), at_once, ..facts() })
}

#[test]
fn a_tiny_run_stays_where_it_ends_before_one_there_has_begun_and_the_figures_are_named() {
    let elsewhere = Elsewhere { startup: Some(ms(3000)), same: None };
    let tiny = chosen(16, None, elsewhere);
    let expected = Expected { examples: 16, here: ms(700), there: ms(3000) };
    assert_eq!(tiny, Choice { strategy: Strategy::Local, reason: Reason::ExpectedFaster(expected) });
    assert_eq!(
        tiny.reason.to_string(),
        "16 examples are expected to take 0.70 s here and 3.00 s or more at the cluster"
    );
    // 25 waves and the start make exactly those 3 s: the cluster has the doubt on its side.
    assert_eq!(chosen(200, None, elsewhere).strategy, Strategy::Distributed);
    assert_eq!(chosen(192, None, elsewhere).strategy, Strategy::Local);
    // What it takes there nobody knows: only that it is not over before it has begun.
    assert_eq!(chosen(10_000, None, elsewhere).reason, Reason::CostsUnknown);
}

#[test]
fn threads_that_an_earlier_run_was_told_are_not_those_of_one_that_is_told_none() {
    // 64 at once, of which each took a second.
    let wide = measured(640, 64, 0, 10_000);
    let there = |same: Measured| Reach::There(Elsewhere { startup: Some(ms(500)), same: Some(same) });
    let facts =
        |at_once, same| Facts { cluster: there(same), here: Some(wide), examples: Some(640), at_once, ..facts() };
    let expected = |facts: &Facts| match choose(facts).reason {
        Reason::ExpectedFaster(expected) => (expected.here, expected.there),
        other => panic!("{other:?}"),
    };
    // Each took 100 ms there, one after the other.
    let narrow = measured(640, 1, 700, 64_000);
    assert_eq!(expected(&facts(None, narrow)), (ms(80_000), ms(8_500)), "8 at once on both sides");
    assert_eq!(expected(&facts(Some(64), narrow)), (ms(10_000), ms(1_500)));
    assert_eq!(expected(&facts(Some(1), narrow)), (ms(640_000), ms(64_500)));
    assert_eq!(expected(&facts(None, wide)), (ms(80_000), ms(10_500)), "the cluster has the doubt on its side");
}

#[test]
fn more_threads_are_not_expected_to_help_here_and_fewer_slow_it_down() {
    let elsewhere = Elsewhere { startup: Some(ms(3000)), same: None };
    assert_eq!(chosen(192, Some(64), elsewhere), chosen(192, None, elsewhere));
    assert_eq!(chosen(192, Some(1), elsewhere).strategy, Strategy::Distributed);
}

#[test]
fn what_the_cluster_took_for_the_same_counts_beside_its_start() {
    let slow = Elsewhere { startup: Some(ms(500)), same: Some(measured(80, 8, 700, 2000)) };
    let Reason::ExpectedFaster(expected) = chosen(160, None, slow).reason else { panic!("both were measured") };
    assert_eq!((expected.here, expected.there), (ms(2500), ms(4500)));
    let wide = Elsewhere { startup: Some(ms(500)), same: Some(measured(640, 64, 700, 1000)) };
    assert_eq!(chosen(640, Some(64), wide).strategy, Strategy::Distributed, "64 at once there, 8 here");
}

#[test]
fn as_long_as_one_figure_is_missing_it_goes_where_the_address_says() {
    let elsewhere = Elsewhere { startup: Some(ms(60_000)), same: None };
    let known = Facts { cluster: Reach::There(elsewhere), here: Some(tiny_here()), examples: Some(1), ..facts() };
    assert_eq!(choose(&known).strategy, Strategy::Local, "the control");
    for less in [
        Facts { here: None, ..known.clone() },
        Facts { examples: None, ..known.clone() },
        Facts { cluster: Reach::There(Elsewhere { startup: None, ..elsewhere }), ..known },
    ] {
        assert_eq!(choose(&less).reason, Reason::CostsUnknown, "{less:?}");
        assert_eq!(choose(&less).strategy, Strategy::Distributed, "{less:?}");
    }
}

fn run() -> Run {
    Run {
        program: "qa.py:qa".to_owned(),
        metric: "exact".to_owned(),
        dataset: "dev.jsonl".to_owned(),
        dataset_digest: "d1".to_owned(),
        lm: "program's own".to_owned(),
        directory: "/home/me".to_owned(),
        status: RunStatus::Finished.into(),
        examples: 80,
        num_threads: 8,
        startup_us: 500_000,
        execution_us: 1_000_000,
        epoch: 1,
        generation: 1,
        ..Run::default()
    }
}

fn subject() -> Subject {
    Subject {
        program: "qa.py:qa".to_owned(),
        metric: "exact".to_owned(),
        lm: None,
        dataset: Dataset::Named("dev.jsonl".to_owned()),
        directory: Some("/home/me".to_owned()),
    }
}

#[test]
fn the_newest_run_of_the_same_is_what_is_known() {
    let older = Run { startup_us: 1, ..run() };
    assert_eq!(newest(&[run(), older.clone()], &subject()), Some(tiny_here()));
    let other = [
        Run { program: "other.py:qa".to_owned(), ..run() },
        Run { metric: "f1".to_owned(), ..run() },
        Run { dataset: "test.jsonl".to_owned(), ..run() },
        Run { directory: "/home/you".to_owned(), ..run() },
    ];
    assert_eq!(newest(&other, &subject()), None);
    assert_eq!(least_startup(&[run(), older]), Some(Duration::from_micros(1)), "whatever they were of");
}

#[test]
fn an_lm_that_is_named_must_be_the_one_that_answered() {
    let run = Run { lm: "openai/x (--lm)".to_owned(), ..run() };
    let named = |lm: &str| newest(std::slice::from_ref(&run), &Subject { lm: Some(lm.to_owned()), ..subject() });
    assert!(named("openai/x").is_some() && named("openai/x (--lm)").is_some());
    assert!(named("openai/x-mini").is_none() && named("openai").is_none() && named("lm.py:lm").is_none());
    assert_eq!(
        newest(std::slice::from_ref(&run), &subject()),
        None,
        "the program answers, and not what was named then"
    );
}

#[test]
fn a_dataset_that_was_read_is_told_by_its_rows() {
    let with = |digest: &str| {
        let dataset = Dataset::Digest(digest.to_owned());
        newest(&[run()], &Subject { dataset, directory: None, ..subject() })
    };
    assert!(with("d1").is_some() && with("d2").is_none());
}

#[test]
fn times_of_a_part_of_a_run_and_forgotten_ones_say_nothing() {
    for partial in [
        Run { status: RunStatus::Cancelled.into(), ..run() },
        Run { epoch: 2, ..run() },
        Run { generation: 2, ..run() },
        Run { startup_us: 0, ..run() },
        Run { execution_us: 0, ..run() },
        Run { examples: 0, ..run() },
    ] {
        let runs = [partial];
        assert_eq!((newest(&runs, &subject()), least_startup(&runs)), (None, None));
    }
}

#[test]
fn addresses_stand_for_a_cluster_unless_they_are_sockets() {
    assert_eq!(Named::by(None), Named::Nothing);
    for (written, named) in [
        ("unix:/run/node.sock", Named::Socket),
        ("127.0.0.1:7400", Named::Cluster),
        ("https://n.example:7400", Named::Cluster),
        ("http://n.example:7400", Named::Cluster),
    ] {
        assert_eq!(Named::by(Some(&written.parse().expect("an address"))), named, "{written}");
    }
}

fn times() -> impl Generates<Value = Measured> {
    (1..100_000_u32, 1..4096_u32, 1..100_000_u64, 1..10_000_000_u64)
        .prop_map(|(examples, at_once, startup, execution)| measured(examples, at_once, startup, execution))
}

proptest! {
    #[test]
    fn a_run_stays_here_only_if_both_sides_were_measured_and_here_is_faster(
        here in proptest::option::of(times()),
        startup in proptest::option::of(1..100_000_u64),
        same in proptest::option::of(times()),
        examples in proptest::option::of(1..u32::MAX),
        at_once in proptest::option::of(1..4096_u32),
    ) {
        let cluster = Reach::There(Elsewhere { startup: startup.map(ms), same });
        let choice = choose(&Facts { cluster, here, examples, at_once, ..facts() });
        if choice.strategy == Strategy::Local {
            let Reason::ExpectedFaster(expected) = choice.reason else { panic!("{choice:?}") };
            prop_assert!(expected.here < expected.there);
            prop_assert!(here.is_some() && startup.is_some() && examples.is_some());
        }
    }

    #[test]
    fn what_is_forced_is_done_whatever_is_known(
        named in prop_oneof![Just(Named::Nothing), Just(Named::Socket), Just(Named::Cluster)],
        away in any::<bool>(),
        here in proptest::option::of(times()),
    ) {
        let cluster = if away { Reach::Away("why".to_owned()) } else { Reach::Unasked };
        for (wish, strategy) in [(Wish::Local, Strategy::Local), (Wish::Distributed, Strategy::Distributed)] {
            let choice = choose(&Facts { wish, named, cluster: cluster.clone(), here, ..facts() });
            prop_assert_eq!(choice, Choice { strategy, reason: Reason::Forced });
        }
    }
}
