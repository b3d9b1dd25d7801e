//! Reads frames, and notices silence.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, ReadHalf};
use tokio::time::{Instant, timeout};

use super::Session;
use super::requests::Inbound;
use crate::detector::{Detector, Health};
use crate::error::CallError;
use crate::frame::{Code, Frame};
use crate::stream::Stream;

const BUFFER: usize = 64 * 1024;

/// Until the connection ends; the reason.
pub(super) async fn run(
    session: Session,
    mut stream: ReadHalf<Stream>,
    inbound: Inbound,
    detector: Detector,
) -> String {
    let limit = session.shared.policy.frame_max;
    let mut buffer = BytesMut::with_capacity(BUFFER);
    let mut heard = Instant::now();
    loop {
        loop {
            match Frame::take(&mut buffer, limit) {
                Ok(Some(frame)) => {
                    if let Err(reason) = obey(&session, &inbound, frame).await {
                        return reason;
                    }
                }
                Ok(None) => break,
                Err(error) => return format!("the peer sent {error}"),
            }
        }
        buffer.reserve(BUFFER);
        let silent = u64::try_from(heard.elapsed().as_millis()).unwrap_or(u64::MAX);
        match detector.health(silent) {
            Health::Down => return format!("nothing was heard for {silent} ms"),
            health => show(&session, health),
        }
        let wait = Duration::from_millis(detector.next_ms(silent).max(1));
        match timeout(wait, stream.read_buf(&mut buffer)).await {
            Err(_) => {}
            Ok(Ok(0)) => return "the peer closed the connection".to_owned(),
            Ok(Ok(_)) => heard = Instant::now(),
            Ok(Err(error)) => return error.to_string(),
        }
    }
}

async fn obey(session: &Session, inbound: &Inbound, frame: Frame) -> Result<(), String> {
    let served = match frame {
        Frame::Request { id, method, body } => inbound.request(session, id, method, body),
        Frame::Message { method, body } => inbound.message(session, method, body).await,
        Frame::Reply { id, body } => {
            session.answered(id, Ok(body));
            Ok(())
        }
        Frame::Refusal { id, code, text } => {
            session.answered(id, Err(if code == Code::Full { CallError::Full } else { CallError::Failed(text) }));
            Ok(())
        }
        Frame::Ping => Ok(()),
    };
    served.map_err(|()| "nobody serves the connection here any more".to_owned())
}

fn show(session: &Session, health: Health) {
    session.shared.health.send_if_modified(|shown| {
        // The end is the end.
        let changed = *shown != health && *shown != Health::Down;
        if changed {
            *shown = health;
        }
        changed
    });
}
