//! What is said of a run that is followed through another node.

use super::{hex, text};
use crate::{BoardEvent, BoardQuestion, FollowReply, FollowRequest, LineCursor, PrintedLine, RunId, TelemetryMessage};

const RUN: RunId = RunId(7);

fn at(epoch: u64, number: u64) -> LineCursor {
    LineCursor { epoch, number }
}

fn requests() -> Vec<FollowRequest> {
    let answer = |body, error| FollowRequest::Answer { run: RUN, worker: text("w"), id: 6, body, error };
    vec![
        FollowRequest::Lines { run: RUN, after: at(2, 3), wait_ms: 300, has_ended: true },
        FollowRequest::Questions { run: RUN, driver: 9, after: at(2, 3), wait_ms: 300 },
        answer(Some(vec![8]), None),
        answer(None, Some(text("e"))),
        FollowRequest::Drive { run: RUN },
    ]
}

fn replies() -> Vec<FollowReply> {
    let output = BoardEvent::Output { worker: text("w"), text: text("t"), dropped_bytes: 8 };
    let question = BoardQuestion { number: 4, worker: text("w"), id: 6, index: 5, body: vec![7] };
    vec![
        FollowReply::Nothing,
        FollowReply::Lines {
            lines: vec![(at(2, 1), output), (at(2, 2), BoardEvent::Warning(text("a")))],
            head: at(2, 2),
        },
        FollowReply::Questions { epoch: 2, questions: vec![question] },
        FollowReply::Replaced,
        FollowReply::Answered,
        FollowReply::Driver { driver: 9 },
    ]
}

fn telemetry() -> Vec<TelemetryMessage> {
    vec![
        TelemetryMessage::Printed {
            run: RUN,
            epoch: 2,
            lines: vec![PrintedLine { worker: text("w"), text: text("t"), dropped_bytes: 8, total_bytes: 300 }],
        },
        TelemetryMessage::PrintsEnded { run: RUN, epoch: 2, total_bytes: 300 },
    ]
}

#[test]
fn messages_about_followed_runs_are_pinned() {
    let requests = requests().into_iter().map(|message| {
        let bytes = message.encode().expect("encodes");
        assert_eq!(FollowRequest::decode(&bytes).expect("decodes"), message);
        hex(&bytes)
    });
    let replies = replies().into_iter().map(|message| {
        let bytes = message.encode().expect("encodes");
        assert_eq!(FollowReply::decode(&bytes).expect("decodes"), message);
        hex(&bytes)
    });
    let telemetry = telemetry().into_iter().map(|message| {
        let bytes = message.encode().expect("encodes");
        assert_eq!(TelemetryMessage::decode(&bytes).expect("decodes"), message);
        hex(&bytes)
    });
    let shown: Vec<String> = requests.chain(replies).chain(telemetry).collect();
    assert_eq!(shown.join("\n"), include_str!("following.txt").trim_end());
}
