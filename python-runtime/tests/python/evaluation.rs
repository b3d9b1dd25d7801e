//! The bundled program, loaded and executed as a run does it.

use std::collections::BTreeMap;

use bytes::Bytes;
use dspex_python::protocol::{Example, Execute, FromWorker, ToWorker};

use crate::support::{Runtime, load, next_frame, send_load};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_digits_program_scores_examples() {
    let runtime = Runtime::new();
    let mut worker = runtime.worker("w1").await;
    let mut digits = load("dspex.samples.digits:few_shot_16");
    digits.metric = Some("dspex.samples.digits:exact".to_owned());
    digits.dataset = Some("dspex.samples.digits:devset".to_owned());
    digits.lm = Some("dspex.samples.digits:lm".to_owned());
    digits.limit = Some(20);
    digits.threads = 4;
    send_load(&worker, digits).await;

    let mut rows: Vec<Bytes> = Vec::new();
    let loaded = loop {
        match next_frame(&mut worker).await {
            FromWorker::Rows(more) => rows.extend(more.rows),
            FromWorker::Loaded(loaded) => break loaded,
            other => panic!("{other:?}"),
        }
    };
    eprintln!("{loaded:?}");
    assert_eq!(rows.len(), 20);

    let example = |(index, row): (usize, Bytes)| Example { index: index as u64, attempt: 1, row, traceparent: None };
    let examples = rows.into_iter().enumerate().map(example).collect();
    worker.handle.send(&ToWorker::Execute(Execute { examples })).await.expect("sent");
    let mut scores = BTreeMap::new();
    while scores.len() < 20 {
        match next_frame(&mut worker).await {
            FromWorker::Results(results) => scores.extend(results.results.into_iter().map(|result| {
                assert_eq!((result.attempt, &result.failure), (1, &None));
                assert!(result.prediction.is_some());
                (result.index, result.score)
            })),
            other => panic!("{other:?}"),
        }
    }
    eprintln!("{scores:?}");
    runtime.zygotes.stop().await;
}
