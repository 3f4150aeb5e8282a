//! What many conversations cost: memory of each, growth of a turn's time with their number, threads side by side.
//!
//!     cargo bench --no-default-features --bench scale
//!
//! Bytes are counted by the allocator and the same on every run. Times are wall time on whatever machine this is: only
//! their ratios, of measurements taken in turns within one run, say anything.

#![allow(missing_docs, clippy::print_stdout, reason = "a program of its own")]
#![allow(unsafe_code, reason = "the allocator that counts")]

#[path = "turn/drops.rs"]
mod drops;
#[path = "turn/programs.rs"]
#[allow(dead_code, reason = "of the programs, only two are measured here")]
mod programs;

use drops::Drops;
use opentelemetry::Context;
use opentelemetry::trace::{TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use programs::{Words, turn_by_hand_live, turn_of_ours};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Instant;
use tracing::{Dispatch, Span, info, info_span};
use tracing_conversation::ConversationProcessor;
use tracing_subscriber::prelude::*;

struct Counting;

static BYTES: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many bytes more are allocated after `act` than before, with what it returns still there.
fn growth<T>(act: impl FnOnce() -> T) -> (isize, T) {
    let before = BYTES.load(Ordering::Relaxed);
    let kept = act();
    (BYTES.load(Ordering::Relaxed) - before, kept)
}

fn installed() -> (Dispatch, SdkTracerProvider) {
    let processor = ConversationProcessor::new(Drops);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor.clone())
        .build();
    let layer = tracing_conversation::layer(provider.tracer("bench"), &processor);
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
    (dispatch, provider)
}

fn scopes(range: std::ops::Range<usize>) -> Vec<Span> {
    range
        .map(|n| info_span!("conversation", conversation.id = n))
        .collect()
}

fn memory(words: &Words) {
    const MANY: usize = 2_000;
    let warm = scopes(0..MANY);
    drop(warm);
    let (idle, idle_scopes) = growth(|| scopes(0..MANY));
    println!(
        "memory | a conversation, idle | {} bytes",
        idle / MANY.cast_signed()
    );
    let (mid_turn, services) = growth(|| {
        let services = idle_scopes.iter().map(|scope| {
            scope.in_scope(|| {
                info!(conversation.event = "user_started_speaking");
                let llm = info_span!(
                    "llm",
                    gen_ai.operation.name = "chat",
                    gen_ai.request.model = "gpt-4o",
                    output = "two hundred bytes of an answer ".repeat(7),
                );
                llm.in_scope(|| info!(conversation.event = "first_byte"));
                llm
            })
        });
        services.collect::<Vec<_>>()
    });
    println!(
        "memory | the same with a turn under way and an open llm span | {} bytes",
        (idle + mid_turn) / MANY.cast_signed()
    );
    drop((services, idle_scopes));

    let scope = scopes(0..1);
    scope[0].in_scope(|| {
        let turns = |count: usize| {
            for _ in 0..count {
                turn_of_ours(words, 1);
            }
        };
        turns(2);
        let (past, ()) = growth(|| turns(200));
        println!(
            "memory | a past turn, of the last 256 | {} bytes",
            past / 200
        );
        turns(256);
        let (more, ()) = growth(|| turns(1_000));
        println!(
            "memory | a past turn beyond the last 256 | {} bytes",
            more / 1_000
        );
    });
}

/// The time of a turn in each of `count` conversations, one after another, in nanoseconds.
fn turns_of_ours(words: &Words, count: usize, rounds: usize) -> f64 {
    let scopes = scopes(0..count);
    let started = Instant::now();
    for _ in 0..rounds {
        for scope in &scopes {
            scope.in_scope(|| turn_of_ours(words, 1));
        }
    }
    started.elapsed().as_nanos() as f64 / (rounds * count) as f64
}

/// The same by hand with the SDK.
fn turns_by_hand(provider: &SdkTracerProvider, words: &Words, count: usize, rounds: usize) -> f64 {
    let tracer = provider.tracer("bench");
    let conversations: Vec<_> = (0..count)
        .map(|_| Context::new().with_span(tracer.start("conversation")))
        .collect();
    let started = Instant::now();
    for _ in 0..rounds {
        for conversation in &conversations {
            let _active = conversation.clone().attach();
            turn_by_hand_live(&tracer, words);
        }
    }
    let each = started.elapsed().as_nanos() as f64 / (rounds * count) as f64;
    for conversation in conversations {
        conversation.span().end();
    }
    each
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn growth_with_conversations(provider: &SdkTracerProvider, words: &Words) {
    let mut ratios = Vec::new();
    let (mut ours, mut by_hand) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let [ours_few, ours_many] =
            [(1, 20_000), (10_000, 2)].map(|(count, rounds)| turns_of_ours(words, count, rounds));
        let [hand_few, hand_many] = [(1, 20_000), (10_000, 2)]
            .map(|(count, rounds)| turns_by_hand(provider, words, count, rounds));
        ours.push(ours_many / ours_few);
        by_hand.push(hand_many / hand_few);
        ratios.push((ours_many / ours_few) / (hand_many / hand_few));
    }
    println!(
        "growth | a turn among 10,000 open conversations, of one alone | {:.2} times; by hand with the SDK {:.2} times; \
         ratio {:.2}",
        median(ours),
        median(by_hand),
        median(ratios)
    );
}

fn threads(dispatch: &Dispatch, words: &Words) {
    let per_second = |threads: usize| {
        const TURNS: usize = 20_000;
        let started = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || {
                    tracing::dispatcher::with_default(dispatch, || {
                        let conversation =
                            info_span!("conversation", conversation.id = 1_000_000 + thread);
                        conversation.in_scope(|| {
                            for _ in 0..TURNS {
                                turn_of_ours(words, 1);
                            }
                        });
                    });
                });
            }
        });
        (threads * TURNS) as f64 / started.elapsed().as_secs_f64()
    };
    per_second(1);
    let rounds: Vec<_> = (0..5).map(|_| (per_second(1), per_second(2))).collect();
    let ratio = median(rounds.iter().map(|(one, two)| two / one).collect());
    println!("threads | turns a second on two threads, of those on one | {ratio:.2} times");
}

fn main() {
    let (dispatch, provider) = installed();
    let words = Words::new();
    tracing::dispatcher::with_default(&dispatch, || {
        memory(&words);
        growth_with_conversations(&provider, &words);
    });
    threads(&dispatch, &words);
}
