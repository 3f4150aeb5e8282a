//! Property test of the stream adapter: arbitrary streams, dropped at arbitrary points.

use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use proptest::prelude::*;
use tracing_conversation::instrument::{Recorder, TraceStream, Usage};
use tracing_conversation::llm_span;
use tracing_subscriber::prelude::*;

use crate::field_log::FieldLog;

/// What a poll of the stream returns.
#[derive(Clone, Debug)]
enum Step {
    Pending,
    Fail,
    Item(Item),
}

#[derive(Clone, Debug)]
enum Item {
    Piece(String),
    ToolCall,
    KeepAlive,
    InputTokens(u64),
    MoreOutputTokens(u64),
    Audio(u32),
    Last,
}

struct Script(std::vec::IntoIter<Step>);

impl Stream for Script {
    type Item = Result<Item, &'static str>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.0.next() {
            Some(Step::Pending) => Poll::Pending,
            Some(Step::Fail) => Poll::Ready(Some(Err("connection lost"))),
            Some(Step::Item(item)) => Poll::Ready(Some(Ok(item))),
            None => Poll::Ready(None),
        }
    }
}

fn record(item: &Item, recorder: &mut Recorder<'_>) {
    match item {
        Item::Piece(piece) => recorder.output(piece),
        Item::ToolCall => recorder.tool_call(),
        Item::KeepAlive => recorder.not_output(),
        Item::InputTokens(tokens) => recorder.usage(Usage::default().input_tokens(*tokens)),
        Item::MoreOutputTokens(tokens) => {
            recorder.add_usage(Usage::default().output_tokens(*tokens))
        }
        Item::Audio(quarters) => recorder.audio_seconds(f64::from(*quarters) / 4.0),
        Item::Last => recorder.complete(),
    };
}

/// Computes the expected span with plain loops.
fn expected(steps: &[Step], is_complete: bool) -> String {
    let items = || {
        steps.iter().filter_map(|step| match step {
            Step::Item(item) => Some(item),
            _ => None,
        })
    };
    let failed = steps.iter().any(|step| matches!(step, Step::Fail));
    let mut span = "llm\n".to_owned();
    if failed {
        span += "  error.type=\"&str\"\n";
    }
    span += "  gen_ai.operation.name=\"chat\"\n  gen_ai.output.type=\"text\"\n";
    if let Some(tokens) = items()
        .filter_map(|item| match item {
            Item::InputTokens(tokens) => Some(tokens),
            _ => None,
        })
        .next_back()
    {
        writeln!(span, "  gen_ai.usage.input_tokens={tokens}").unwrap();
    }
    let more: Vec<u64> = items()
        .filter_map(|item| match item {
            Item::MoreOutputTokens(tokens) => Some(*tokens),
            _ => None,
        })
        .collect();
    if !more.is_empty() {
        writeln!(
            span,
            "  gen_ai.usage.output_tokens={}",
            more.iter().sum::<u64>()
        )
        .unwrap();
    }
    if !is_complete && !failed && !items().any(|item| matches!(item, Item::Last)) {
        span += "  interrupted=true\n";
    }
    if failed {
        span += "  otel.status_code=\"ERROR\"\n  otel.status_description=connection lost\n";
    }
    let output: String = items()
        .map(|item| match item {
            Item::Piece(piece) => piece.as_str(),
            _ => "",
        })
        .collect();
    if !output.is_empty() {
        writeln!(span, "  output={output:?}").unwrap();
    }
    span += "  service.ended=true\n";
    let (mut has_first_byte, mut has_tool_call) = (false, false);
    for item in items() {
        match item {
            Item::KeepAlive => {}
            Item::Piece(piece) if piece.is_empty() => {}
            Item::ToolCall if !has_tool_call => {
                has_tool_call = true;
                span += "  (conversation.event=\"first_byte\", text=false)\n";
            }
            Item::ToolCall => {}
            _ if !has_first_byte => {
                has_first_byte = true;
                span += "  (conversation.event=\"first_byte\")\n";
            }
            _ => {}
        }
    }
    span
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Pending),
        1 => Just(Step::Fail),
        8 => prop_oneof![
            4 => "[a-zäß ]{0,4}".prop_map(Item::Piece),
            1 => Just(Item::ToolCall),
            2 => Just(Item::KeepAlive),
            1 => (0_u64..99).prop_map(Item::InputTokens),
            1 => (0_u64..99).prop_map(Item::MoreOutputTokens),
            1 => (0_u32..99).prop_map(Item::Audio),
            1 => Just(Item::Last),
        ].prop_map(Step::Item),
    ]
}

proptest! {
    #[test]
    fn span_has_first_byte_sums_and_outcome(
        steps in prop::collection::vec(step(), 0..12),
        polls in 0_usize..14,
    ) {
        let log = FieldLog::default();
        let _default = tracing_subscriber::registry().with(log.clone()).set_default();
        let mut cx = Context::from_waker(Waker::noop());

        let mut stream = Script(steps.clone().into_iter()).try_traced_with(llm_span!(), record);
        let mut passed_on = Vec::new();
        for _ in 0..polls {
            match Pin::new(&mut stream).poll_next(&mut cx) {
                Poll::Ready(Some(item)) => passed_on.push(format!("{item:?}")),
                Poll::Ready(None) => break,
                Poll::Pending => {}
            }
        }
        let is_complete = polls > steps.len();
        if is_complete {
            // The span has ended before the stream is dropped.
            prop_assert_ne!(log.0.lock().unwrap().len(), 0);
        }
        drop(stream);

        let done = &steps[..polls.min(steps.len())];
        prop_assert_eq!(log.take(), expected(done, is_complete));
        let untouched: Vec<String> = done.iter().filter_map(|step| match step {
            Step::Pending => None,
            Step::Fail => Some(r#"Err("connection lost")"#.to_owned()),
            Step::Item(item) => Some(format!("Ok({item:?})")),
        }).collect();
        prop_assert_eq!(passed_on, untouched);
    }
}
