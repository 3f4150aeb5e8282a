//! For a program's own tests: what its conversations, turns and services were, asserted in one line each.
//!
//! ```
//! use std::time::Duration;
//! use tracing::{info, info_span};
//! use tracing_conversation::testing::ConversationRecorder;
//!
//! # #[allow(unused)]
//! fn answers_in_time() {
//! # }
//! let recorder = ConversationRecorder::new();
//! let wait = |milliseconds| recorder.advance(Duration::from_millis(milliseconds));
//! recorder.run(|| {
//!     let call = info_span!("conversation", conversation.id = "call-1");
//!     call.in_scope(|| {
//!         info!(conversation.event = "user_started_speaking");
//!         wait(1_000);
//!         info!(conversation.event = "vad_user_stopped_speaking", stop_secs = 0.2);
//!         let tool = info_span!("tool", gen_ai.operation.name = "execute_tool", gen_ai.tool.name = "get_weather");
//!         tool.in_scope(|| wait(300));
//!         drop(tool);
//!         let tts = info_span!("tts", gen_ai.operation.name = "tts", text = "It is sunny.");
//!         tts.in_scope(|| info!(conversation.event = "bot_started_speaking"));
//!     });
//! });
//!
//! let turn = recorder.conversation("call-1").turn(1);
//! assert!(turn.latency() < Duration::from_millis(800));
//! assert_eq!(turn.tools(), ["get_weather"]);
//! assert_eq!(turn.output(), "It is sunny.");
//! assert!(turn.errors().is_empty());
//! assert!(!turn.interrupted());
//! ```
//!
//! # Time
//!
//! A recorder goes by a virtual clock, which only [`advance`](ConversationRecorder::advance) moves: latencies are exact, and a
//! turn's end by silence needs no waiting. One that is built [`in real time`](ConversationRecorderBuilder::real_time) goes by
//! the machine's clock, for programs whose waiting a test does not control.
//! [`wait_for`](ConversationRecorder::wait_for) and [`ended`](ConversationRecorder::ended) then wait for what happens on other
//! threads and tasks, no longer than it takes.
//!
//! # Subscribers
//!
//! A recorder is the subscriber of the code that it [`run`](ConversationRecorder::run)s, or of a thread while
//! [`enter`](ConversationRecorder::enter) has it so; tests that run in parallel have one each. A program that starts threads of
//! its own, such as a multi-threaded runtime, needs one for the whole process: see
//! [`install`](ConversationRecorder::install). For a registry of your own there is
//! [`layer`](ConversationRecorder::layer).
//!
//! # When a test fails
//!
//! Asking for what is not there panics with what there is instead. If a test panics, for whatever reason, the recorder prints
//! the trees of its conversations to standard error.

#![allow(
    clippy::panic,
    reason = "a failed test panics; a program does not have this module"
)]

mod attributes;
mod conversation;
mod failure;
mod recorder;
mod service;
mod sink;
mod snapshot;
mod tree;
mod turn;

pub use conversation::RecordedConversation;
pub use recorder::{ConversationRecorder, ConversationRecorderBuilder, Ended};
pub use service::RecordedService;
pub use tree::Tree;
pub use turn::RecordedTurn;
