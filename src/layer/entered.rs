//! The service spans that are entered on this thread.

use crate::core::Core;
use crate::service::ServiceSpan;
use opentelemetry::{Context, ContextGuard};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tracing_core::span::Id;

struct Entered {
    /// Whose span it is: other layers on this thread count theirs from one as well.
    core: *const Core,
    id: u64,
    service: Arc<ServiceSpan>,
    _attached: ContextGuard,
}

thread_local! {
    static ENTERED: RefCell<Vec<Entered>> = const { RefCell::new(Vec::new()) };
    /// Whether there are any, for every event that wants to know.
    static IS_ANY: Cell<bool> = const { Cell::new(false) };
}

impl Entered {
    fn is_orphan(&self) -> bool {
        self.service.is_orphan.load(Ordering::Relaxed)
    }

    fn is_of(&self, core: &Core) -> bool {
        std::ptr::eq(self.core, core) && !self.is_orphan()
    }
}

/// Makes `context` the thread's, until the span is exited.
#[inline]
pub(super) fn enter(core: &Core, id: &Id, service: Arc<ServiceSpan>, context: Context) {
    let entered = Entered {
        core,
        id: id.into_u64(),
        service,
        _attached: context.attach(),
    };
    // A thread that is about to go enters nothing any more.
    let is_kept = ENTERED.try_with(|all| all.borrow_mut().push(entered));
    IS_ANY.set(is_kept.is_ok());
}

/// Tells whether the span was entered, by this layer or by one before it that has gone.
#[inline]
pub(super) fn exit(core: &Core, id: &Id) -> bool {
    let exit = |all: &RefCell<Vec<Entered>>| {
        let mut all = all.borrow_mut();
        let of = |entered: &Entered| {
            entered.id == id.into_u64() && (entered.is_of(core) || entered.is_orphan())
        };
        let exited = if all.last().is_some_and(of) {
            all.pop()
        } else {
            let index = all.iter().rposition(of)?;
            Some(all.remove(index))
        };
        IS_ANY.set(!all.is_empty());
        exited
    };
    let exited = ENTERED.try_with(exit).ok().flatten();
    // Let go of only now: the last of a context may have a span to end.
    exited.is_some()
}

/// The innermost of the layer's that is entered here.
pub(super) fn innermost(core: &Core) -> Option<(Id, Arc<ServiceSpan>)> {
    let innermost = |all: &RefCell<Vec<Entered>>| {
        let all = all.borrow();
        let mut inwards = all.iter().rev();
        let innermost = inwards.find(|entered| entered.is_of(core))?;
        Some((Id::from_u64(innermost.id), innermost.service.clone()))
    };
    ENTERED.try_with(innermost).ok().flatten()
}

/// Whether there is any.
#[inline]
pub(super) fn is_any() -> bool {
    IS_ANY.get()
}
