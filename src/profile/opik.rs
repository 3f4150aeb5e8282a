//! Opik: thread, input and output, provider. It takes whatever begins with `input` or `output`.

use super::{Added, Facts};
use crate::names;

pub(super) fn translate(facts: &Facts<'_>, add: &mut Added) {
    add.put("thread_id", facts.session());
    add.put(names::INPUT, facts.input());
    add.put(names::OUTPUT, facts.output());
    // Its mapping knows the provider under the name that the conventions had until 2025.
    add.put("gen_ai.system", facts.text(names::GEN_AI_PROVIDER_NAME));
}
