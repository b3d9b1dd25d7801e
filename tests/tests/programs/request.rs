//! Requests as any client of the contract would make them.

use std::time::{SystemTime, UNIX_EPOCH};

use dspex_api::v1::{GetProgramRequest, PutProgramRequest, RequestId};

/// One that was made now.
pub fn id(number: u64) -> Option<RequestId> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis();
    let hex = format!("{now:012x}");
    let request = format!("{}-{}-7000-8000-{number:012x}", &hex[..8], &hex[8..]);
    Some(RequestId { client: "0190a000-0000-7000-8000-000000000001".to_owned(), request })
}

/// A program of this signature.
pub fn put(number: u64, name: &str, signature: &str) -> PutProgramRequest {
    PutProgramRequest {
        request_id: id(number),
        name: name.to_owned(),
        definition: Some(format!("{{\"signature\": \"{signature}\"}}")),
        ..PutProgramRequest::default()
    }
}

pub fn get(name: &str) -> GetProgramRequest {
    GetProgramRequest { name: name.to_owned(), ..GetProgramRequest::default() }
}
