//! Programs that do anything in any order: the harnesses of the fuzz targets `hooks` and `timelines` (`fuzz/`), run over
//! generated cases.

mod checks;
mod hooks;
mod kept_stage;
mod timelines;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn hooks_in_any_order_leave_sound_spans(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        hooks::run(&data);
    }

    #[test]
    fn timelines_with_anything_changed_leave_sound_spans(
        which in 0..timelines::EXAMPLES.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        lines in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..10),
    ) {
        let mut changed: Vec<&str> = timelines::EXAMPLES[which].lines().collect();
        for (first, second) in lines {
            let (first, second) = (first.index(changed.len()), second.index(changed.len()));
            changed.swap(first, second);
        }
        let mut bytes = changed.join("\n").into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            // A digit for a digit leaves JSON that can be read.
            bytes[at] = if bytes[at].is_ascii_digit() { b'0' + byte % 10 } else { byte };
        }
        timelines::run(&bytes);
    }
}
