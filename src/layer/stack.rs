//! The spans and handles that are entered on this thread, as far as conversations are concerned.
//!
//! Nothing is pushed outside of conversations. Inside one, every span is, so that the innermost tells where code stands.

use super::LayerState;
use super::standing::Standing;
use crate::active_context;
use opentelemetry::{Context, ContextGuard};
use std::cell::{Cell, RefCell};
use std::num::NonZeroU64;
use std::sync::{Arc, Weak};
use tracing_core::span::Id;

struct Frame {
    /// Whose frame it is: other layers on this thread number their spans from one as well.
    layer: Weak<LayerState>,
    /// `None` of a handle.
    span: Option<NonZeroU64>,
    /// `None` of a span outside of any conversation.
    standing: Option<Standing>,
    /// Of a context that the layer has activated itself.
    guard: Option<ContextGuard>,
}

impl Frame {
    fn is_of(&self, layer: &LayerState) -> bool {
        std::ptr::eq(self.layer.as_ptr(), layer)
    }

    fn is_span(&self, layer: &LayerState, id: NonZeroU64) -> bool {
        // A layer that was replaced while the span was entered hears nothing of its exit.
        self.span == Some(id) && (self.is_of(layer) || self.layer.strong_count() == 0)
    }
}

struct Frames {
    list: RefCell<Vec<Frame>>,
    /// Whether the thread had an active context when the first frame was pushed. It has one as long as there are frames
    /// then: a thread's locals are dropped in the opposite order of their first use.
    has_context: bool,
}

thread_local! {
    static FRAMES: Frames = Frames {
        has_context: active_context::is_there(),
        list: RefCell::default(),
    };
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// Whether nothing is entered that concerns a conversation.
#[inline]
pub(super) fn is_empty() -> bool {
    COUNT.get() == 0
}

/// Pushes the frame that `frame` makes of the context's guard. With `context`, that is active until it is popped.
#[inline]
fn push(context: Option<Context>, frame: impl FnOnce(Option<ContextGuard>) -> Frame) {
    // A thread whose locals are being dropped enters nothing any more.
    let pushed = FRAMES.try_with(|frames| {
        let context = context.filter(|_| frames.has_context);
        let guard = context.map(Context::attach);
        let mut list = frames.list.borrow_mut();
        list.push(frame(guard));
        list.len()
    });
    COUNT.set(pushed.unwrap_or(0));
}

/// Enters a span. With `context`, that is active until the span is exited.
#[inline]
pub(super) fn enter(
    layer: &LayerState,
    id: &Id,
    standing: Option<Standing>,
    context: Option<Context>,
) {
    push(context, |guard| Frame {
        layer: layer.weak(),
        span: Some(id.into_non_zero_u64()),
        standing,
        guard,
    });
}

/// Changes where a span stands that may be entered on this thread.
pub(super) fn change(layer: &LayerState, id: &Id, standing: &Standing) {
    let _ = FRAMES.try_with(|frames| {
        for frame in frames.list.borrow_mut().iter_mut() {
            if frame.is_span(layer, id.into_non_zero_u64()) {
                frame.standing = Some(standing.clone());
            }
        }
    });
}

/// The innermost that is entered on this thread, if it is a span that the layer does not own.
#[inline]
pub(super) fn innermost_ordinary(layer: &LayerState) -> Option<Id> {
    let id = FRAMES.try_with(|frames| {
        let list = frames.list.borrow();
        let frame = list.last()?;
        let is_ordinary = frame.guard.is_none() && frame.is_of(layer);
        frame.span.filter(|_| is_ordinary)
    });
    id.ok().flatten().map(Id::from_non_zero_u64)
}

/// How a span that is exited was entered.
pub(super) enum Exited {
    /// Its context was activated here, and no longer is.
    Here,
    /// By the wrapped layer, or not at all.
    Elsewhere,
}

#[inline]
pub(super) fn exit(layer: &LayerState, id: &Id) -> Exited {
    let id = id.into_non_zero_u64();
    let is_it = |frame: &Frame| frame.is_span(layer, id);
    let was_active = FRAMES.try_with(|frames| {
        let mut list = frames.list.borrow_mut();
        let frame = match list.last() {
            Some(last) if is_it(last) => list.pop(),
            _ => {
                let at = list.iter().rposition(is_it);
                at.map(|at| list.remove(at))
            }
        };
        COUNT.set(list.len());
        drop(list);
        // Dropped only here: the last reference to a span may have to end it.
        frame.is_some_and(|frame| frame.guard.is_some())
    });
    match was_active {
        Ok(true) => Exited::Here,
        _ => Exited::Elsewhere,
    }
}

/// Keeps a handle's conversation entered on this thread.
pub(crate) struct EnteredHandle {
    frame: usize,
    _not_send: std::marker::PhantomData<*const ()>,
}

/// Enters a handle's conversation.
pub(crate) fn enter_handle(
    layer: &Weak<LayerState>,
    standing: Standing,
    context: Context,
) -> EnteredHandle {
    let (standing, context) = match (innermost_of(layer), standing.conversation()) {
        // In its own conversation, a handle changes nothing of where code stands.
        (Some(inner), Some(own))
            if inner
                .conversation()
                .is_some_and(|conversation| Arc::ptr_eq(conversation, own)) =>
        {
            (inner, None)
        }
        _ => (standing, Some(context)),
    };
    let frame = COUNT.get();
    push(context, |guard| Frame {
        layer: layer.clone(),
        span: None,
        standing: Some(standing),
        guard,
    });
    EnteredHandle {
        frame,
        _not_send: std::marker::PhantomData,
    }
}

impl Drop for EnteredHandle {
    fn drop(&mut self) {
        let frame = FRAMES.try_with(|frames| {
            let mut frames = frames.list.borrow_mut();
            // Spans that were entered meanwhile and not exited stay.
            let at = frames.len().checked_sub(1)?.min(self.frame);
            let at = frames[..=at]
                .iter()
                .rposition(|frame| frame.span.is_none())?;
            let frame = frames.remove(at);
            COUNT.set(frames.len());
            Some(frame)
        });
        drop(frame);
    }
}

fn find<R>(read: impl FnOnce(&[Frame]) -> Option<R>) -> Option<R> {
    if is_empty() {
        return None;
    }
    FRAMES.try_with(|frames| read(&frames.list.borrow())).ok()?
}

/// Where code stands that says nothing of it.
#[inline]
pub(super) fn innermost(layer: &LayerState) -> Option<Standing> {
    find(|frames| {
        let mut inwards = frames.iter().rev();
        inwards.find(|frame| frame.is_of(layer))?.standing.clone()
    })
}

fn innermost_of(layer: &Weak<LayerState>) -> Option<Standing> {
    find(|frames| {
        let mut inwards = frames.iter().rev();
        inwards
            .find(|frame| frame.layer.ptr_eq(layer))?
            .standing
            .clone()
    })
}

/// Where code stands, whatever the layer, with that layer.
pub(crate) fn innermost_of_any() -> Option<(Standing, Weak<LayerState>)> {
    find(|frames| {
        let innermost = frames.last()?;
        Some((innermost.standing.clone()?, innermost.layer.clone()))
    })
}

/// Where the innermost handle stands.
pub(super) fn innermost_handle(layer: &LayerState) -> Option<Standing> {
    find(|frames| {
        let mut inwards = frames.iter().rev();
        inwards
            .find(|frame| frame.span.is_none() && frame.is_of(layer))?
            .standing
            .clone()
    })
}

/// The innermost service span at work that satisfies `is_wanted`.
pub(super) fn find_service(
    layer: &LayerState,
    is_wanted: impl Fn(&Standing) -> bool,
) -> Option<Standing> {
    find(|frames| {
        let standings = frames
            .iter()
            .rev()
            .filter(|frame| frame.is_of(layer))
            .filter_map(|frame| frame.standing.as_ref());
        let mut services =
            standings.filter(|standing| is_wanted(standing) && standing.open_service().is_some());
        services.next().cloned()
    })
}

/// The innermost span.
pub(super) fn innermost_span(layer: &LayerState) -> Option<Id> {
    find(|frames| {
        let mut inwards = frames.iter().rev();
        let id = inwards.find_map(|frame| frame.span.filter(|_| frame.is_of(layer)))?;
        Some(Id::from_non_zero_u64(id))
    })
}
