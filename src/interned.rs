//! Texts of which there are few, such as names of models and voices: allocated once a thread, shared by all spans.

use crate::content::ContentPolicy;
use opentelemetry::StringValue;
use std::cell::RefCell;
use std::sync::Arc;

/// A longer text is hardly a name. Any policy allows so much.
const MAX_BYTES: usize = 64;

thread_local! {
    static INTERNED: RefCell<[Option<Arc<str>>; 256]> = const { RefCell::new([const { None }; 256]) };
}

/// `text`, shared with whoever else had it interned on this thread.
pub(crate) fn intern(text: &str, policy: &ContentPolicy) -> StringValue {
    if text.len() > MAX_BYTES {
        return policy.bounded(text).into_owned().into();
    }
    intern_name(text).into()
}

/// The same of a text that is in bounds.
pub(crate) fn intern_name(text: &str) -> Arc<str> {
    if text.len() > MAX_BYTES {
        return text.into();
    }
    let interned = INTERNED.try_with(|all| {
        let mut all = all.borrow_mut();
        let slots = all.len();
        let slot = &mut all[slot(text) % slots];
        match slot {
            Some(known) if **known == *text => known.clone(),
            _ => slot.insert(Arc::from(text)).clone(),
        }
    });
    interned.unwrap_or_else(|_| text.into())
}

/// Hashes the length and the two ends, where names differ.
fn slot(name: &str) -> usize {
    let bytes = name.as_bytes();
    let ends = match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            (u64::from(u32::from_le_bytes(*first)) << 32) | u64::from(u32::from_le_bytes(*last))
        }
        _ => bytes
            .iter()
            .fold(0, |word, byte| (word << 8) | u64::from(*byte)),
    };
    let hash = (ends ^ bytes.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (hash >> 56) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interned_names_are_distinct_and_shared() {
        let intern = |text| intern(text, &ContentPolicy::default());
        let names: Vec<_> = (0..2_000).map(|n| format!("model-{n}")).collect();
        for text in &names {
            assert_eq!(intern(text).as_str(), text);
        }
        let once = intern("sonic-2");
        let again = intern("sonic-2");
        assert!(std::ptr::eq(once.as_str(), again.as_str()));
        let long = "x".repeat(1_000);
        assert_eq!(intern(&long).as_str(), long);
        assert!(!std::ptr::eq(
            intern(&long).as_str(),
            intern(&long).as_str()
        ));
    }
}
