//! What a turn costs, in instructions (callgrind) and allocations (DHAT, as "Total blocks").
//!
//!     cargo install gungraun-runner --version 0.20.0 --locked   # and valgrind, from the system's packages
//!     cargo bench --no-default-features --features attributes --bench turn
//!
//! Each benchmark runs one turn, or one ordinary span or event, after a warm-up of two. A turn is a turn span, three
//! service spans (stt, llm, tts) with two texts of 200 bytes each, recorded after they began, and eight boundary events; a
//! service span is entered once or, as a future that is polled often, twenty times. All variants end in a processor that
//! drops spans, and export the same attributes. `subscribers.rs` says under what a program runs, `programs.rs` what it
//! does.

#![allow(missing_docs, reason = "the harness's macros make public items")]
#![allow(clippy::expect_used, reason = "a benchmark may fail")]

mod drops;
mod programs;
mod subscribers;

use gungraun::Dhat;
use gungraun::prelude::*;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use programs::{
    Words, contract_event, contract_event_with_field, event_by_message, event_by_target,
    event_with_field, ordinary_event, ordinary_span, turn_by_hand, turn_by_hand_live,
    turn_by_handle, turn_by_macros, turn_nested_by_hand, turn_of_ours,
};
use subscribers::{Subscriber, otel, ours, raw};
use tracing_conversation::Conversation;

#[library_benchmark]
#[bench::values_known_in_advance(raw(), false)]
#[bench::as_a_program_runs(raw(), true)]
fn a_turn_by_the_sdk(
    (provider, tracer, words): (SdkTracerProvider, SdkTracer, Words),
    live: bool,
) -> (SdkTracerProvider, Words) {
    if live {
        turn_by_hand_live(&tracer, &words);
    } else {
        turn_by_hand(&tracer, &words);
    }
    (provider, words)
}

#[library_benchmark]
#[bench::default_1_poll(ours::default(), 1)]
#[bench::default_20_polls(ours::default(), 20)]
#[bench::without_span_ext_1_poll(ours::without_span_ext(), 1)]
#[bench::without_span_ext_20_polls(ours::without_span_ext(), 20)]
#[bench::two_processors_1_poll(ours::with_two_processors(), 1)]
#[bench::metrics_1_poll(ours::with_metrics(), 1)]
#[bench::observed_1_poll(ours::with_an_observer(), 1)]
#[bench::sampled_out_1_poll(ours::sampled_out(), 1)]
#[bench::disabled_by_a_filter_1_poll(ours::disabled(), 1)]
#[bench::tracing_alone_1_poll(subscribers::tracing_alone(), 1)]
fn a_turn(under: Subscriber, polls: usize) -> Subscriber {
    turn_of_ours(&under.words, polls);
    under
}

#[library_benchmark]
#[bench::default(ours::warm_for_macros())]
fn a_turn_by_macros(under: Subscriber) -> Subscriber {
    turn_by_macros(&under.words);
    under
}

#[cfg(feature = "attributes")]
#[library_benchmark]
#[bench::default(ours::warm_for_attributes())]
fn a_turn_by_attributes(under: Subscriber) -> Subscriber {
    programs::turn_by_attributes(&under.words);
    under
}

#[cfg(feature = "attributes")]
library_benchmark_group!(name = with_attributes, benchmarks = [a_turn_by_attributes]);

#[library_benchmark]
#[bench::default(ours::with_a_handle())]
fn a_turn_by_handle((under, conversation): (Subscriber, Conversation)) -> Subscriber {
    turn_by_handle(&under.words, &conversation);
    under
}

#[library_benchmark]
#[bench::otel_default_1_poll(otel::default(), 1, true)]
#[bench::otel_default_1_poll_without_events(otel::default(), 1, false)]
#[bench::otel_default_20_polls(otel::default(), 20, true)]
#[bench::otel_lean_1_poll(otel::lean(), 1, true)]
#[bench::otel_lean_1_poll_without_events(otel::lean(), 1, false)]
fn a_turn_nested_by_hand(under: Subscriber, polls: usize, with_events: bool) -> Subscriber {
    turn_nested_by_hand(&under.words, polls, with_events);
    under
}

#[library_benchmark]
#[bench::otel_alone_below_0(otel::lean_below(0))]
#[bench::ours_below_0(ours::outside_a_conversation(0))]
#[bench::otel_alone_below_1(otel::lean_below(1))]
#[bench::ours_below_1(ours::outside_a_conversation(1))]
#[bench::otel_alone_below_8(otel::lean_below(8))]
#[bench::ours_below_8(ours::outside_a_conversation(8))]
#[bench::otel_alone_below_64(otel::lean_below(64))]
#[bench::ours_below_64(ours::outside_a_conversation(64))]
#[bench::ours_in_a_conversation(ours::default())]
fn an_ordinary_span(under: Subscriber) -> Subscriber {
    ordinary_span();
    under
}

#[library_benchmark]
#[bench::otel_alone(otel::lean_below(1))]
#[bench::ours(ours::outside_a_conversation(1))]
fn an_ordinary_event(under: Subscriber) -> Subscriber {
    ordinary_event();
    under
}

#[library_benchmark]
#[bench::in_the_contracts_words(ours::with_rules(), contract_event)]
#[bench::by_a_rule_for_its_target(ours::with_rules(), event_by_target)]
#[bench::by_a_rule_for_its_message(ours::with_rules(), event_by_message)]
#[bench::with_a_field_in_the_contracts_words(ours::with_rules(), contract_event_with_field)]
#[bench::with_a_field_by_a_rule(ours::with_rules(), event_with_field)]
#[bench::ordinary_without_rules(ours::default(), ordinary_event)]
#[bench::ordinary_that_no_rule_matches(ours::with_rules(), ordinary_event)]
#[bench::span_without_rules(ours::default(), ordinary_span)]
#[bench::span_that_no_rule_matches(ours::with_rules(), ordinary_span)]
fn an_event(under: Subscriber, event: fn()) -> Subscriber {
    event();
    under
}

library_benchmark_group!(
    name = turns,
    benchmarks = [
        a_turn_by_the_sdk,
        a_turn,
        a_turn_by_macros,
        a_turn_by_handle,
        a_turn_nested_by_hand,
        an_ordinary_span,
        an_ordinary_event,
        an_event
    ]
);

#[cfg(not(feature = "attributes"))]
main!(
    config = LibraryBenchmarkConfig::default().tool(Dhat::default()),
    library_benchmark_groups = turns
);

#[cfg(feature = "attributes")]
main!(
    config = LibraryBenchmarkConfig::default().tool(Dhat::default()),
    library_benchmark_groups = [turns, with_attributes]
);
