//! One function for each boundary event, so that no name has to be typed as a string.
//!
//! ```
//! use std::time::Duration;
//! use tracing_conversation::event;
//!
//! event::user_started_speaking();
//! event::vad_user_stopped_speaking(0.2);
//!
//! // From a callback outside the conversation's scope:
//! event::in_conversation("call-7").bot_started_speaking();
//! // Detected with a delay:
//! event::ago(Duration::from_millis(40)).in_conversation("call-7").bot_stopped_speaking();
//! ```
//!
//! Each emits a plain `tracing` event at INFO with the target `tracing_conversation`, from its own callsite. It costs a
//! few instructions without a subscriber.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::NoSubscriber;
use tracing::{Level, Metadata, Span, dispatcher};

use crate::names::{CONVERSATION_EVENT, event as names};

/// Whether a callsite emits boundary events: for a log layer that is not to show them.
///
/// ```
/// use tracing_conversation::event;
/// use tracing_subscriber::{Layer as _, Registry, filter::filter_fn, fmt};
///
/// let log = fmt::layer::<Registry>().with_filter(filter_fn(|metadata| !event::is_boundary(metadata)));
/// # drop(log);
/// ```
#[must_use]
pub fn is_boundary(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && metadata.fields().field(CONVERSATION_EVENT).is_some()
}

/// Sets which conversation or span an event belongs to, and when it happened.
///
/// Created by [`in_conversation`], [`in_span`], [`ago`], [`because`], [`heard`] and [`played`], or by
/// [`EventBuilder::default`], which means the current span, now.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a builder emits nothing by itself; call one of its events"]
pub struct EventBuilder<'a> {
    conversation: Option<&'a str>,
    span: Option<&'a Span>,
    ago: Option<Duration>,
    reason: Option<&'a str>,
    heard: Option<&'a str>,
    played: Option<Duration>,
}

/// Emits an event of the conversation with this id, independent of the current scope.
///
/// ```
/// tracing_conversation::event::in_conversation("call-7").user_started_speaking();
/// ```
pub fn in_conversation(id: &str) -> EventBuilder<'_> {
    EventBuilder::default().in_conversation(id)
}

/// Emits an event inside `span`, whichever span is entered.
///
/// ```
/// use tracing_conversation::{event, llm_span};
///
/// let span = llm_span!();
/// event::in_span(&span).first_byte();
/// ```
pub fn in_span(span: &Span) -> EventBuilder<'_> {
    EventBuilder::default().in_span(span)
}

/// Emits an event that happened `ago` before now.
///
/// ```
/// use std::time::Duration;
///
/// tracing_conversation::event::ago(Duration::from_millis(40)).bot_started_speaking();
/// ```
pub fn ago(ago: Duration) -> EventBuilder<'static> {
    EventBuilder::default().ago(ago)
}

/// Emits an event with a reason, for `conversation_started` and `conversation_ended`.
///
/// ```
/// tracing_conversation::event::because("caller hung up").conversation_ended();
/// ```
pub fn because(reason: &str) -> EventBuilder<'_> {
    EventBuilder::default().because(reason)
}

/// Emits an event with what was heard of the bot's words in the open turn, for `user_started_speaking`, `interruption` and
/// `bot_stopped_speaking`.
///
/// It becomes `turn.heard_output` of that turn. Once the turn has ended, it is too late.
///
/// ```
/// tracing_conversation::event::heard("Once upon a").user_started_speaking();
/// ```
pub fn heard(text: &str) -> EventBuilder<'_> {
    EventBuilder::default().heard(text)
}

/// Emits an event with how much of the bot's speech in the open turn was played, for the same events as [`heard`].
///
/// It becomes `turn.played_seconds` of that turn. Once the turn has ended, it is too late.
///
/// ```
/// use std::time::Duration;
///
/// tracing_conversation::event::played(Duration::from_millis(900)).bot_stopped_speaking();
/// ```
pub fn played(played: Duration) -> EventBuilder<'static> {
    EventBuilder::default().played(played)
}

impl<'a> EventBuilder<'a> {
    /// Sets the id of the conversation.
    pub fn in_conversation(mut self, id: &'a str) -> Self {
        self.conversation = Some(id);
        self
    }

    /// Sets the span that the event is in.
    pub fn in_span(mut self, span: &'a Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Sets how long before now the event happened.
    pub fn ago(mut self, ago: Duration) -> Self {
        self.ago = Some(ago);
        self
    }

    /// Sets the reason.
    pub fn because(mut self, reason: &'a str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Sets what was heard of the bot's words in the open turn; see [`heard`].
    pub fn heard(mut self, text: &'a str) -> Self {
        self.heard = Some(text);
        self
    }

    /// Sets how much of the bot's speech in the open turn was played; see [`played`].
    pub fn played(mut self, played: Duration) -> Self {
        self.played = Some(played);
        self
    }
}

/// Returns whether an event could reach a subscriber.
///
/// Inside a subscriber's hook it cannot, and `tracing` would cache for a callsite that is first used there that no
/// subscriber is interested in it. A callsite that has been used elsewhere before is registered.
#[cold]
fn has_subscriber() -> bool {
    LevelFilter::current() >= Level::INFO
        && dispatcher::get_default(|subscriber| !subscriber.is::<NoSubscriber>())
}

/// Defines each event as a function and as a method of [`EventBuilder`].
macro_rules! events {
    ($d:tt $(
        $(#[$doc:meta])*
        $event:ident ( $($arg:ident : $type:ty),* ) $name:ident { $($field:ident = $value:expr)? $(; $heard:ident, $played:ident)? };
    )*) => {
        $(
            $(#[$doc])*
            pub fn $event($($arg: $type),*) {
                EventBuilder::default().$event($($arg),*);
            }
        )*

        impl EventBuilder<'_> {
            $(
                #[doc = concat!("Like [`", stringify!($event), "`], with the builder's settings.")]
                pub fn $event(self $(, $arg: $type)*) {
                    let ago_secs = self.ago.map(|ago| ago.as_secs_f64());
                    // A field that is `None` is not recorded.
                    macro_rules! emit {
                        ($d($parent:tt)*) => {{
                            static IS_REGISTERED: AtomicBool = AtomicBool::new(false);
                            if IS_REGISTERED.load(Ordering::Relaxed) || has_subscriber() {
                                tracing::event!(
                                    target: "tracing_conversation",
                                    $d($parent)*
                                    Level::INFO,
                                    {
                                        conversation.event = names::$name,
                                        conversation.id = self.conversation,
                                        ago_secs,
                                        reason = self.reason,
                                        $($field = $value,)?
                                        $(
                                            text_heard = self.$heard,
                                            played_secs = self.$played.map(|played| played.as_secs_f64()),
                                        )?
                                    }
                                );
                                IS_REGISTERED.store(true, Ordering::Relaxed);
                            }
                        }};
                    }
                    match self.span {
                        Some(span) => emit!(parent: span,),
                        None => emit!(),
                    }
                }
            )*
        }
    };
}

events! { $
    /// The conversation starts. Idempotent.
    ///
    /// ```
    /// tracing_conversation::event::in_conversation("call-7").conversation_started();
    /// ```
    conversation_started() CONVERSATION_STARTED {};

    /// The conversation ends. Idempotent.
    ///
    /// ```
    /// tracing_conversation::event::conversation_ended();
    /// ```
    conversation_ended() CONVERSATION_ENDED {};

    /// The transport's client has connected; the latency of a greeting is measured from here.
    ///
    /// ```
    /// tracing_conversation::event::client_connected();
    /// ```
    client_connected() CLIENT_CONNECTED {};

    /// The transport's client has disconnected, which ends the conversation.
    ///
    /// ```
    /// tracing_conversation::event::client_disconnected();
    /// ```
    client_disconnected() CLIENT_DISCONNECTED {};

    /// The user takes the turn.
    ///
    /// ```
    /// tracing_conversation::event::user_started_speaking();
    /// ```
    user_started_speaking() USER_STARTED_SPEAKING { ; heard, played };

    /// The user releases the turn.
    ///
    /// ```
    /// tracing_conversation::event::user_stopped_speaking();
    /// ```
    user_stopped_speaking() USER_STOPPED_SPEAKING {};

    /// Voice activity is confirmed, `start_secs` seconds after it started.
    ///
    /// ```
    /// tracing_conversation::event::vad_user_started_speaking(0.2);
    /// ```
    vad_user_started_speaking(start_secs: f64) VAD_USER_STARTED_SPEAKING { start_secs = start_secs };

    /// Silence is confirmed, `stop_secs` seconds after it started.
    ///
    /// ```
    /// tracing_conversation::event::vad_user_stopped_speaking(0.8);
    /// ```
    vad_user_stopped_speaking(stop_secs: f64) VAD_USER_STOPPED_SPEAKING { stop_secs = stop_secs };

    /// The bot's first audio is sent to the user.
    ///
    /// ```
    /// tracing_conversation::event::bot_started_speaking();
    /// ```
    bot_started_speaking() BOT_STARTED_SPEAKING {};

    /// The bot's last audio has been sent to the user.
    ///
    /// ```
    /// tracing_conversation::event::bot_stopped_speaking();
    /// ```
    bot_stopped_speaking() BOT_STOPPED_SPEAKING { ; heard, played };

    /// The pipeline discards what the bot was saying; by itself this neither starts nor ends a turn.
    ///
    /// ```
    /// tracing_conversation::event::interruption();
    /// ```
    interruption() INTERRUPTION { ; heard, played };

    /// The current service span produces its first output.
    ///
    /// The adapters of [`instrument`](crate::instrument) emit it automatically.
    ///
    /// ```
    /// use tracing_conversation::{event, tts_span};
    ///
    /// tts_span!().in_scope(|| event::first_byte());
    /// ```
    first_byte() FIRST_BYTE {};

    /// The current language model span starts a tool call.
    ///
    /// ```
    /// use tracing_conversation::{event, llm_span};
    ///
    /// llm_span!().in_scope(|| event::first_byte_of_tool_call());
    /// ```
    first_byte_of_tool_call() FIRST_BYTE { text = false };
}

/// Sets fields as attributes of the current service span, else of the open turn, else of the
/// conversation.
///
/// ```
/// use tracing_conversation::annotate;
///
/// annotate!(sentiment = "cheerful", retries = 2);
/// // From outside the conversation's scope:
/// annotate!(conversation.id = "call-7", turn.input = "what is the weather");
/// ```
///
/// The fields are written as for [`tracing::info!`]; `parent:` may come first.
#[macro_export]
macro_rules! annotate {
    (parent: $parent:expr, $($fields:tt)+) => {
        $crate::__private::tracing::event!(
            target: "tracing_conversation",
            parent: $parent,
            $crate::__private::tracing::Level::INFO,
            { conversation.event = $crate::names::event::ANNOTATE, $($fields)+ }
        )
    };
    ($($fields:tt)+) => {
        $crate::__private::tracing::event!(
            target: "tracing_conversation",
            $crate::__private::tracing::Level::INFO,
            { conversation.event = $crate::names::event::ANNOTATE, $($fields)+ }
        )
    };
}
