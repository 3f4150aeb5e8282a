//! A timeline of any bytes, played as the replay example plays it.

#[path = "../../../examples/replay/any_fields.rs"]
mod any_fields;
#[path = "../../../examples/replay/player.rs"]
mod player;
#[path = "../../../examples/replay/timeline.rs"]
mod timeline;

use super::kept_stage;

/// Timelines that can be read, to start from.
pub(crate) const EXAMPLES: [&str; 2] = [
    include_str!("../../timelines/interruption.jsonl"),
    include_str!("../../timelines/late_and_odd.jsonl"),
];

/// Lines are read and played one by one, so that one which cannot be read does not end the program.
pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut steps: Vec<_> = text
        .lines()
        .filter_map(|line| timeline::read(line).ok())
        .flatten()
        .collect();
    kept_stage::play(|stage, number| {
        // An empty id is replaced by a fresh one.
        let named = |step: &&mut timeline::Step| !step.conversation.is_empty();
        for step in steps.iter_mut().filter(named) {
            step.conversation.insert_str(0, &format!("{number} "));
        }
        // An error names a line that no program could have written, such as one about a span that has never started.
        drop(player::play(&steps, &stage.clock));
    });
}
