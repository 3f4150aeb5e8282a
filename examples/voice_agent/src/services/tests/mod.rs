//! The clients against the stand-ins, and against peers that split and merge what they send.

mod llm;
mod realtime;
mod stt;
mod tts;

use super::{Patience, cartesia, deepgram};
use crate::audio::{FRAME, Samples, read_wav};
use crate::context::{Function, Message, ToolCall};
use crate::frames::{Floor, Heard, Response, Sentence, Speech, Words};
use crate::pace::Pace;
use crate::secret::Secret;
use crate::services::openai::OpenAi;
use crate::stand_in::faults::{Fault, Kind, Provider};
use crate::stand_in::{Behaviour, Delays, StandIns};
use crate::tests::{essence, record, tree};
use crate::transport::caller;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Message as Wire, Utf8Bytes};
use tokio_util::sync::CancellationToken;
use tracing_conversation::testing::ConversationRecorder;

const WRONG_KEY: &str = "sk-this-key-must-not-leak";
/// Only for providers that are silent on purpose: a busy machine must not look like one.
const IMPATIENT: Patience = Patience {
    connect: Duration::from_secs(5),
    silence: Duration::from_millis(400),
    settle: Duration::from_millis(100),
    keep_alive: Duration::from_secs(4),
};

fn patience(faults: &[(Provider, u64, Kind)]) -> Patience {
    let silent = faults.iter().any(|(.., kind)| *kind == Kind::Silence);
    if silent {
        IMPATIENT
    } else {
        Patience::default()
    }
}

async fn stand_ins(faults: &[(Provider, u64, Kind)]) -> StandIns {
    let faults = faults
        .iter()
        .map(|&(provider, nth, kind)| Fault {
            provider,
            nth,
            kind,
        })
        .collect();
    let behaviour = Behaviour {
        seed: 1,
        pace: Pace::times(20.0),
        delays: Delays::default(),
        faults,
    };
    StandIns::start(behaviour).await.unwrap()
}

/// What was exported, key by key: the place to look for what must not be there.
fn everything(recorder: &ConversationRecorder) -> String {
    format!("{:?}", recorder.spans())
}

/// The service spans and how they ended. The spans below them are HTTP's.
fn outcome(recorder: &ConversationRecorder) -> String {
    let spans = recorder.spans();
    let services: Vec<_> = spans
        .into_iter()
        .filter(|span| matches!(&*span.name, "stt" | "llm" | "tts" | "realtime"))
        .collect();
    let ids: Vec<_> = services
        .iter()
        .map(|span| span.span_context.span_id())
        .collect();
    assert!(
        services
            .iter()
            .all(|span| !ids.contains(&span.parent_span_id))
    );
    let mut roots = services;
    roots
        .iter_mut()
        .for_each(|span| span.parent_span_id = opentelemetry::trace::SpanId::INVALID);
    tree(&roots, essence)
}
