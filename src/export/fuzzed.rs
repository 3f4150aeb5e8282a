//! What OTLP servers may answer: run by the tests of this folder and by the fuzz target `answers`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a harness fails by a panic"
)]
#![allow(
    unreachable_pub,
    reason = "public where the crate is built for fuzzing"
)]

use std::time::Instant;

use super::{Answer, deadline};
use crate::terminal::is_unsafe;

/// Reads the bytes as an answer over HTTP or gRPC, and checks what is made of it.
pub fn run(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else {
        return;
    };
    #[cfg(feature = "http")]
    if which % 2 == 0 {
        check(&http::answer(rest));
    }
    #[cfg(feature = "grpc")]
    if which % 2 == 1 {
        check(&grpc::answer(rest));
    }
}

/// Fails if what is logged of an answer could drive a terminal or is longer than a line or two, and if no time can be
/// told from what it asks for.
pub(super) fn check(answer: &Answer) {
    let text = match answer {
        Answer::Taken { remark, .. } => remark.as_deref().unwrap_or_default(),
        Answer::Refused(why) | Answer::Failed(why) => why,
        Answer::Again { after, why } => {
            deadline(Instant::now(), after.unwrap_or_default());
            why
        }
    };
    assert!(!text.contains(is_unsafe), "{text:?}");
    assert!(text.chars().count() <= 300, "{text:?}");
}

/// The first bytes, after their length in one byte.
fn piece<'a>(data: &mut &'a [u8]) -> &'a [u8] {
    let Some((length, rest)) = data.split_first() else {
        return &[];
    };
    let (piece, rest) = rest.split_at(rest.len().min(usize::from(*length)));
    *data = rest;
    piece
}

#[cfg(feature = "http")]
mod http {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use http::{HeaderValue, Response, StatusCode, header};
    use http_body_util::Full;
    use opentelemetry_http::Bytes;

    use super::super::{Answer, http::SPANS, http_client::read};
    use super::piece;

    pub(super) fn answer(mut data: &[u8]) -> Answer {
        let status = match data {
            [first, second, ..] => u16::from_le_bytes([*first, *second]),
            _ => 0,
        };
        data = data.get(2..).unwrap_or_default();
        let mut response = Response::new(Full::new(Bytes::new()));
        *response.status_mut() = StatusCode::from_u16(100 + status % 900).unwrap();
        for name in [header::RETRY_AFTER, header::LOCATION, header::CONTENT_TYPE] {
            if let Ok(value) = HeaderValue::from_bytes(piece(&mut data)) {
                response.headers_mut().insert(name, value);
            }
        }
        *response.body_mut() = Full::new(Bytes::copy_from_slice(data));
        let reading = pin!(read(response, &SPANS));
        match reading.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("the whole answer is there"),
        }
    }
}

#[cfg(feature = "grpc")]
mod grpc {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
    use prost::Message as _;
    use tonic::Status;

    use super::super::{
        Answer,
        answer::partial,
        grpc_client::{judge, remove_unreadable_details},
    };
    use super::piece;

    pub(super) fn answer(mut data: &[u8]) -> Answer {
        let mut trailers = HeaderMap::new();
        for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
            if let Ok(value) = HeaderValue::from_bytes(piece(&mut data)) {
                trailers.insert(HeaderName::from_static(name), value);
            }
        }
        remove_unreadable_details(&mut trailers);
        match Status::from_header_map(&trailers) {
            Some(status) if status.code() != tonic::Code::Ok => judge(&status),
            _ => {
                let answer = ExportTraceServiceResponse::decode(data).unwrap_or_default();
                let partly = answer.partial_success.unwrap_or_default();
                partial(partly.rejected_spans, "spans", &partly.error_message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    proptest::proptest! {
        #[test]
        fn no_answer_panics(data in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            super::run(&data);
        }
    }
}
