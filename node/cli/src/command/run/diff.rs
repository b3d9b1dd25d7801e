//! `dspex run diff`: what became better and worse from one run to another.

use clap::Args;
use dspex_api::Client;
use dspex_api::v1::{Run, RunResultsRequest, RunStatus, ScoreKind};
use serde_json::{Map, Value, json};

use crate::arguments::identifier;
use crate::comparison::{Aligned, By, Change, Comparison, Counts, Item, RowKey, Scored, Test, align, compare};
use crate::error::CommandError;
use crate::exit;
use crate::invocation::Invocation;
use crate::listing::{Listing, PAGE, pairs};
use crate::output::{self, Format};
use crate::{result, run_id};

/// The arguments of `dspex run diff`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex run diff 01a1fda7-9d02 01a1fda7-bbcf\n  dspex run diff 01a1fda7-9d02 01a1fda7-bbcf -o json | jq .test.p_value\n  dspex run diff 01a1fda7-9d02 01a1fda7-bbcf --all -o csv > changed.csv\n\nExamples of one dataset are compared by their position, those of two by equal fields. Differences are those from A to B.\nThe p-value says how often chance alone would give a mean difference as large: small ones speak for a real one. Listed are\nthe examples that changed, those that became worse first."
)]
pub struct Options {
    /// The run to start from: its id, or its beginning
    #[arg(value_parser = identifier)]
    a: String,
    /// The run that is compared with it
    #[arg(value_parser = identifier)]
    b: String,
    /// All examples that changed, not only the first 100
    #[arg(long)]
    all: bool,
}

/// Prints what differs between two runs.
pub async fn execute(invocation: &Invocation, options: Options) -> Result<u8, CommandError> {
    let client = invocation.node().await?;
    let (a, b) = (named(&client, &options.a).await?, named(&client, &options.b).await?);
    if a.run_id == b.run_id {
        return Err(CommandError::usage(format!("both are run {}", a.run_id)).hint("dspex run list shows the others"));
    }
    let by = match !a.dataset_digest.is_empty() && a.dataset_digest == b.dataset_digest {
        true => By::Index,
        false => By::Row,
    };
    let (left, right) = (results(&client, &a, by).await?, results(&client, &b, by).await?);
    let aligned = align(by, &left.scored, &right.scored);
    if aligned.pairs.is_empty() {
        return Err(nothing_aligns(&a, &b, by, &left, &right));
    }
    warn(invocation, &a, &b);
    let compared = compare(&left.scored, &right.scored, &aligned);
    let has_booleans = left.has_booleans || right.has_booleans;
    print(invocation, &Diff { a, b, aligned, compared, has_booleans }, options.all)?;
    Ok(exit::OK)
}

struct Diff {
    a: Run,
    b: Run,
    aligned: Aligned,
    compared: Comparison,
    has_booleans: bool,
}

async fn named(client: &Client, text: &str) -> Result<Run, CommandError> {
    let id = run_id::resolve(client, text).await?;
    Ok(client.run(&id).await?)
}

struct Results {
    scored: Vec<Scored>,
    has_booleans: bool,
}

/// Scores and failures alone; the examples' fields only where they are what is compared by.
async fn results(client: &Client, run: &Run, by: By) -> Result<Results, CommandError> {
    let request = RunResultsRequest { run_id: run.run_id.clone(), full: by == By::Row, ..RunResultsRequest::default() };
    let mut results = Results { scored: Vec::new(), has_booleans: false };
    result::for_each(client, request, |found| {
        results.has_booleans |= found.score_kind() == ScoreKind::Boolean;
        results.scored.push(Scored {
            index: found.index,
            score: found.score,
            shown: result::score(&found),
            row: RowKey::of(&found.example),
            failure: found.failure.map(|failure| failure.r#type),
        });
        Ok(true)
    })
    .await?;
    Ok(results)
}

fn nothing_aligns(a: &Run, b: &Run, by: By, left: &Results, right: &Results) -> CommandError {
    for (run, results) in [(a, left), (b, right)] {
        if results.scored.is_empty() {
            return CommandError::usage(format!("run {} has no results to compare yet", run.run_id))
                .hint(format!("dspex run show {} says why", run.run_id));
        }
    }
    if by == By::Index {
        return CommandError::usage("the two runs have no example with a result in both")
            .hint("go on with them first: dspex run resume RUN");
    }
    let is_opaque = |results: &Results| results.scored.iter().all(|scored| scored.row.is_none());
    let why = match is_opaque(left) || is_opaque(right) {
        true => "examples of Python objects without fields of JSON are compared within one dataset only",
        false => "no example of one has an equal one in the other",
    };
    CommandError::usage(format!("the runs have different datasets, {} and {}, and {why}", a.dataset, b.dataset))
        .hint("evaluate both programs on one dataset")
}

fn warn(invocation: &Invocation, a: &Run, b: &Run) {
    if a.metric != b.metric {
        invocation.console.warning(&format!(
            "the runs have different metrics, {} and {}: their scores may not mean the same",
            a.metric, b.metric
        ));
    }
    for run in [a, b].into_iter().filter(|run| run.status() != RunStatus::Finished) {
        let status = result::status_name(run.status());
        invocation
            .console
            .note(&format!("run {} is {status}: {} of {} examples have a result", run.run_id, run.done, run.examples));
    }
}

fn print(invocation: &Invocation, diff: &Diff, all: bool) -> Result<(), CommandError> {
    let total = diff.compared.items.len();
    let shown = if all { total } else { total.min(PAGE as usize) };
    let items = &diff.compared.items[..shown];
    let truncated = shown < total;
    if invocation.format == Format::Json {
        return output::text(&format!("{}\n", document(diff, items, truncated)));
    }
    if invocation.format == Format::Table {
        output::people(&format!("{}\n", pairs(&summary(diff).into())))?;
        if items.is_empty() {
            return output::people("no example changed\n");
        }
    }
    let listing = Listing {
        items: items.iter().map(item).collect(),
        truncated,
        total: Some(total as u64),
        header: vec!["A", "B", "CHANGE", "SCORE A", "SCORE B", "FAILURE A", "FAILURE B"],
        rows: items.iter().map(row).collect(),
        ..Listing::default()
    };
    listing.print(invocation.format, &invocation.console)
}

fn aligned_by(by: By) -> &'static str {
    match by {
        By::Index => "index",
        By::Row => "row",
    }
}

/// The scores of two runs are numbers to be subtracted, whatever they are in Python.
fn compared_as(has_booleans: bool) -> &'static str {
    match has_booleans {
        true => "scores as numbers: true is 1, false is 0",
        false => "scores as numbers",
    }
}

fn document(diff: &Diff, items: &[Item], truncated: bool) -> Value {
    let test = diff.compared.test.as_ref();
    json!({
        "a": diff.a.run_id,
        "b": diff.b.run_id,
        "aligned_by": aligned_by(diff.aligned.by),
        "compared": compared_as(diff.has_booleans),
        "counts": counts(&diff.compared.counts),
        "test": test.map(|Test { name, p_value, difference }| {
            json!({"name": name, "p_value": p_value, "difference": difference})
        }),
        "items": items.iter().map(item).collect::<Vec<_>>(),
        "truncated": truncated,
    })
}

fn counts(counts: &Counts) -> Value {
    json!({
        "aligned": counts.aligned,
        "improved": counts.improved,
        "regressed": counts.regressed,
        "unchanged": counts.unchanged,
        "incomparable": counts.incomparable,
        "failed_a": counts.failed_a,
        "failed_b": counts.failed_b,
        "only_a": counts.only_a,
        "only_b": counts.only_b,
    })
}

fn item(item: &Item) -> Value {
    let score = |scored: &Scored| serde_json::from_str(&scored.shown).unwrap_or(Value::Null);
    json!({
        "index_a": item.a.index,
        "index_b": item.b.index,
        "change": item.change.name(),
        "score_a": score(&item.a),
        "score_b": score(&item.b),
        "difference": item.difference(),
        "failure_a": item.a.failure,
        "failure_b": item.b.failure,
    })
}

fn row(item: &Item) -> Vec<String> {
    let failure = |scored: &Scored| scored.failure.clone().unwrap_or_default();
    vec![
        item.a.index.to_string(),
        item.b.index.to_string(),
        item.change.name().to_owned(),
        item.a.shown.clone(),
        item.b.shown.clone(),
        failure(&item.a),
        failure(&item.b),
    ]
}

/// What people read before the table.
fn summary(diff: &Diff) -> Value {
    let Counts { aligned, improved, regressed, unchanged, incomparable, failed_a, failed_b, only_a, only_b } =
        diff.compared.counts;
    let how = match diff.aligned.by {
        By::Index => "by their position in one dataset",
        By::Row => "by equal fields",
    };
    let mut shown = Map::new();
    let mut line = |name: &str, text: String| shown.insert(name.to_owned(), Value::from(text));
    line("A", described(&diff.a));
    line("B", described(&diff.b));
    line("examples", format!("{aligned} compared {how}; only in A: {only_a}, only in B: {only_b}"));
    line("improved", improved.to_string());
    line("regressed", regressed.to_string());
    line("unchanged", unchanged.to_string());
    if incomparable > 0 {
        line(Change::Incomparable.name(), format!("{incomparable}: one of the scores is not a number"));
    }
    line("failed", format!("{failed_a} in A, {failed_b} in B"));
    if let Some(Test { name, p_value, difference }) = &diff.compared.test {
        line("difference", format!("{difference:+.4}, the mean of B - A; {}", compared_as(diff.has_booleans)));
        line("p-value", format!("{} ({name})", significance(*p_value)));
    }
    Value::Object(shown)
}

fn described(run: &Run) -> String {
    let score = run.score.map_or_else(|| result::status_name(run.status()).to_owned(), |score| score.to_string());
    format!("{} ({score}) {} on {}", run.run_id, run.program, run.dataset)
}

fn significance(p_value: f64) -> String {
    match p_value < 0.0001 {
        true => "< 0.0001".to_owned(),
        false => format!("{p_value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(index: u32, score: f64, failure: Option<&str>) -> Scored {
        Scored { index, score, shown: score.to_string(), failure: failure.map(str::to_owned), row: None }
    }

    fn diff() -> Diff {
        let (a, b) = ([scored(0, 1.0, None), scored(1, 0.0, Some("ValueError"))], [scored(1, 0.5, None)]);
        let aligned = align(By::Index, &a, &b);
        let compared = compare(&a, &b, &aligned);
        let run = |id: &str| Run { run_id: id.to_owned(), score: Some(50.0), ..Run::default() };
        Diff { a: run("a"), b: run("b"), aligned, compared, has_booleans: true }
    }

    #[test]
    fn programs_get_counts_the_test_and_what_changed() {
        let diff = diff();
        let document = document(&diff, &diff.compared.items, false);
        assert_eq!(
            document.to_string(),
            r#"{"a":"a","b":"b","aligned_by":"index","compared":"scores as numbers: true is 1, false is 0","counts":{"aligned":1,"improved":1,"regressed":0,"unchanged":0,"incomparable":0,"failed_a":1,"failed_b":0,"only_a":1,"only_b":0},"test":{"name":"sign-flip permutation test, exact","p_value":1.0,"difference":0.5},"items":[{"index_a":1,"index_b":1,"change":"improved","score_a":0,"score_b":0.5,"difference":0.5,"failure_a":"ValueError","failure_b":null}],"truncated":false}"#
        );
    }

    #[test]
    fn people_read_which_test_it_was_and_what_has_no_partner() {
        let text = pairs(&summary(&diff()).into());
        for phrase in ["only in A: 1, only in B: 0", "+0.5000, the mean of B - A", "1.0000 (sign-flip permutation test"]
        {
            assert!(text.contains(phrase), "{phrase}: {text}");
        }
        assert_eq!([significance(0.00001), significance(0.0312)], ["< 0.0001", "0.0312"]);
    }

    #[test]
    fn who_has_nothing_to_compare_is_told_why() {
        let run = Run { dataset: "dev.jsonl".to_owned(), run_id: "r".to_owned(), ..Run::default() };
        let results = |rows: &[&str]| Results {
            scored: rows.iter().map(|row| Scored { row: RowKey::of(row.as_bytes()), ..scored(0, 1.0, None) }).collect(),
            has_booleans: false,
        };
        let told = |by, a: &[&str], b: &[&str]| nothing_aligns(&run, &run, by, &results(a), &results(b)).message;
        assert!(told(By::Index, &[], &["{}"]).contains("no results to compare yet"));
        assert!(told(By::Index, &["{}"], &["{}"]).contains("no example with a result in both"));
        assert!(told(By::Row, &[r#"{"q":1}"#], &["{}"]).contains("no example of one has an equal one"));
        assert!(told(By::Row, &[r#"{"$pickled":true}"#], &["{}"]).contains("within one dataset only"));
    }
}
