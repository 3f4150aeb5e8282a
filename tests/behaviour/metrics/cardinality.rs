//! Attributes take a bounded number of values.

use tracing::{info, info_span};

use super::Meters;

fn distinct(readings: &super::Readings, instrument: &str, key: &str) -> Vec<String> {
    let mut values: Vec<String> = readings
        .0
        .keys()
        .filter(|series| series.starts_with(&format!("{instrument}{{")))
        .filter_map(|series| {
            let (_, rest) = series.split_once(&format!("{key}="))?;
            Some(rest.split([',', '}']).next()?.to_owned())
        })
        .collect();
    values.sort();
    values.dedup();
    values
}

#[test]
fn names_beyond_a_hundred_are_other() {
    let meters = Meters::new();
    let stage = meters.stage();
    stage.play(|| {
        let conversation = info_span!("conversation", conversation.id = "c1");
        let _entered = conversation.enter();
        for number in 0..150 {
            let name = format!("n{number}");
            info_span!(
                "llm",
                gen_ai.operation.name = "chat",
                gen_ai.provider.name = name,
                gen_ai.request.model = name,
                error.type = name,
                otel.status_code = "ERROR"
            )
            .in_scope(|| ());
            info_span!(
                "tool",
                gen_ai.operation.name = "execute_tool",
                gen_ai.tool.name = name,
                gen_ai.tool.type = name
            )
            .in_scope(|| ());
            info_span!(
                "other",
                gen_ai.operation.name = name,
                gen_ai.usage.input_tokens = 1
            )
            .in_scope(|| ());
        }
        info!(conversation.event = "conversation_ended");
    });
    let readings = meters.read();
    for (instrument, key) in [
        ("gen_ai.client.operation.duration", "gen_ai.provider.name"),
        ("gen_ai.client.operation.duration", "gen_ai.request.model"),
        ("gen_ai.client.operation.duration", "error.type"),
        ("gen_ai.execute_tool.duration", "gen_ai.tool.name"),
        ("gen_ai.execute_tool.duration", "gen_ai.tool.type"),
        ("gen_ai.client.token.usage", "gen_ai.operation.name"),
    ] {
        let values = distinct(&readings, instrument, key);
        // Of operations, `chat` is among the hundred.
        assert!(values.len() <= 101, "{key}: {values:?}");
        assert!(values.contains(&"_OTHER".to_owned()), "{key}");
        assert!(values.contains(&"n0".to_owned()), "{key}");
        assert!(!values.contains(&"n149".to_owned()), "{key}");
    }
    let other = "gen_ai.execute_tool.duration{gen_ai.tool.name=_OTHER, gen_ai.tool.type=_OTHER}";
    assert_eq!(readings.of(other).0, 50);
}

#[test]
fn no_attribute_carries_what_would_drive_a_terminal() {
    let meters = Meters::new();
    let stage = meters.stage();
    stage.play(|| {
        let conversation = info_span!("conversation", conversation.id = "c1");
        conversation.in_scope(|| {
            info_span!(
                "llm",
                gen_ai.operation.name = "chat",
                gen_ai.request.model = "\u{1b}[2Jgpt"
            )
            .in_scope(|| ());
        });
    });
    let series =
        "gen_ai.client.operation.duration{gen_ai.operation.name=chat, gen_ai.request.model=_OTHER}";
    assert_eq!(meters.read().of(series).0, 1);
}
