//! What nodes tell each other while runs execute: nodes of two versions give each other orders.

use super::{hex, spec, text};
use crate::{
    Employment, EndedBy, ExecutedExample, OrderedExample, PeerMessage, Presence, RunId, RunOrder, RunReport, RunStatus,
    Shipped, WorkOrder, WorkReport,
};

fn orders() -> Vec<WorkOrder> {
    let worker = 3;
    let shipped = Shipped { directory: text("d"), environment: text("e"), ..Shipped::default() };
    vec![
        WorkOrder::Employ(Box::new(Employment {
            worker,
            id: text("w"),
            threads: 2,
            generation: 4,
            spec: spec(1, 10),
            shipped,
        })),
        WorkOrder::Execute {
            worker,
            examples: vec![OrderedExample { index: 5, attempt: 1, traceparent: Some(text("t")) }],
        },
        WorkOrder::Ping { worker },
        WorkOrder::Kill { worker },
        WorkOrder::Finish { worker },
        WorkOrder::Answer { worker, id: 6, body: Some(vec![7]), error: None },
        WorkOrder::Threads { worker, count: 2 },
        WorkOrder::Weigh { weight: 4 },
    ]
}

fn reports() -> Vec<WorkReport> {
    let worker = 3;
    let ended = |by, is_refused| WorkReport::Ended { worker, message: text("m"), output: text("o"), by, is_refused };
    vec![
        WorkReport::Ready { worker, sources: vec![(text("p"), text("s"))] },
        WorkReport::Executed {
            worker,
            examples: vec![ExecutedExample {
                index: 5,
                duration_us: 9,
                score: 0.5,
                failure: Some((text("c"), text("m"))),
                tokens: Some((1, 2)),
            }],
        },
        WorkReport::Recorded { results: 2, status: Ok(RunStatus::Running) },
        WorkReport::Recorded { results: 2, status: Err(text("e")) },
        WorkReport::Fatal { worker, message: text("m"), index: Some(5) },
        WorkReport::Answers { worker },
        WorkReport::Asks { worker, id: 6, index: 5, body: vec![7] },
        WorkReport::Leaves { worker, replace: true },
        WorkReport::Printed { id: text("w"), text: text("t"), dropped_bytes: 8 },
        ended(EndedBy::Itself, false),
        ended(EndedBy::Node, true),
        ended(EndedBy::Zygote, false),
    ]
}

fn messages() -> Vec<PeerMessage> {
    let (run, epoch) = (RunId(7), 2);
    let presence = Presence { cpus: 2, workers: 3, workers_max: 64, is_draining: true };
    let orders = orders().into_iter().map(|what| PeerMessage::Order(RunOrder { run, epoch, what }));
    let reports = reports().into_iter().map(|what| PeerMessage::Report(RunReport { run, epoch, what }));
    let first = [PeerMessage::Presence(presence)];
    let last = [PeerMessage::Attended { run }, PeerMessage::RunWorkers { count: 5 }];
    first.into_iter().chain(orders).chain(reports).chain(last).collect()
}

#[test]
fn messages_of_peers_are_pinned() {
    let shown: Vec<String> = messages()
        .into_iter()
        .map(|message| {
            let bytes = message.encode().expect("encodes");
            assert_eq!(PeerMessage::decode(&bytes).expect("decodes"), message);
            hex(&bytes)
        })
        .collect();
    assert_eq!(shown.join("\n"), include_str!("orders.txt").trim_end());
}
