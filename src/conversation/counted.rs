//! Service spans as the sums of their conversation see them.

use crate::sums::{Charge, ServiceUsage};
use std::sync::{Arc, Mutex};

/// A service span that counts in the sums of its conversation.
pub(crate) trait CountedService: Send + Sync {
    /// How its usage counts. Locked after the conversation.
    fn usage(&self) -> &Mutex<ServiceUsage>;
}

/// What a service adds to the sums.
pub(crate) struct ServiceFigures {
    pub(crate) has_failed: bool,
    /// `None` where nothing was used.
    pub(crate) charge: Option<Charge>,
}

/// A service span that has not ended, with what it adds so far.
pub(crate) struct OpenService {
    pub(crate) key: u64,
    pub(crate) turn: Option<u32>,
    pub(crate) service: Arc<dyn CountedService>,
    /// The service spans that it is below.
    pub(crate) above: Vec<Arc<dyn CountedService>>,
    pub(crate) figures: ServiceFigures,
}

/// The service spans of a layer that have not ended.
pub(crate) trait OpenServices: Send + Sync {
    fn open_service(&self, key: u64) -> Option<OpenService>;
}
