//! A program's own function around an answer: an empty sibling of the turns as an ordinary span, an agent with its services
//! below it as `invoke_agent`.

use crate::stage::{Stage, next_turn, scope};
use tracing::{Instrument as _, info_span, instrument};
use tracing_conversation::rules::Rules;
use tracing_conversation::traced_agent;

/// What an answer takes.
async fn work(stage: &Stage) {
    for (name, operation) in [
        ("llm", "chat"),
        ("tool", "execute_tool"),
        ("llm", "chat"),
        ("tts", "tts"),
    ] {
        let span = info_span!(
            "service",
            otel.name = name,
            gen_ai.operation.name = operation
        );
        async { stage.pass(100) }.instrument(span).await;
    }
}

#[instrument(skip_all)]
async fn answer(stage: &Stage) {
    work(stage).await;
}

#[instrument(name = "answer", skip_all, fields(gen_ai.operation.name = "invoke_agent"))]
async fn answer_by_field(stage: &Stage) {
    work(stage).await;
}

#[traced_agent(otel.name = "answer")]
async fn answer_by_attribute(stage: &Stage) {
    work(stage).await;
}

/// Two turns, in each of which `answer` is run.
fn tree<F: Future<Output = ()>>(stage: &Stage, answer: impl Fn() -> F) -> String {
    stage.play(|| {
        scope().in_scope(|| {
            for turn in 0..2 {
                if turn > 0 {
                    next_turn();
                }
                futures_util::FutureExt::now_or_never(answer()).unwrap();
            }
        });
    });
    let lines = stage.tree(&["turn.number", "gen_ai.operation.name"]);
    format!("\n{}\n", lines.join("\n"))
}

const AGENT: &str = "
conversation
  turn turn.number=1
    answer turn.number=1 gen_ai.operation.name=invoke_agent
      llm turn.number=1 gen_ai.operation.name=chat
      tool turn.number=1 gen_ai.operation.name=execute_tool
      llm turn.number=1 gen_ai.operation.name=chat
      tts turn.number=1 gen_ai.operation.name=tts
  turn turn.number=2
    answer turn.number=2 gen_ai.operation.name=invoke_agent
      llm turn.number=2 gen_ai.operation.name=chat
      tool turn.number=2 gen_ai.operation.name=execute_tool
      llm turn.number=2 gen_ai.operation.name=chat
      tts turn.number=2 gen_ai.operation.name=tts
";

#[test]
fn services_of_an_ordinary_handler_belong_to_the_turns_beside_it() {
    let stage = Stage::new();
    let expected = "
conversation
  turn turn.number=1
    llm turn.number=1 gen_ai.operation.name=chat
    tool turn.number=1 gen_ai.operation.name=execute_tool
    llm turn.number=1 gen_ai.operation.name=chat
    tts turn.number=1 gen_ai.operation.name=tts
  answer
  turn turn.number=2
    llm turn.number=2 gen_ai.operation.name=chat
    tool turn.number=2 gen_ai.operation.name=execute_tool
    llm turn.number=2 gen_ai.operation.name=chat
    tts turn.number=2 gen_ai.operation.name=tts
  answer
";
    let tree = tree(&stage, || answer(&stage));
    // Spans that start at the same time come in the order of their export.
    let mut lines: Vec<_> = tree.lines().collect();
    let mut wanted: Vec<_> = expected.lines().collect();
    lines.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
}

#[test]
fn handler_is_an_agent_by_a_field() {
    let stage = Stage::new();
    assert_eq!(tree(&stage, || answer_by_field(&stage)), AGENT);
}

#[test]
fn handler_is_an_agent_by_an_attribute() {
    let stage = Stage::new();
    assert_eq!(tree(&stage, || answer_by_attribute(&stage)), AGENT);
    let names = stage
        .spans()
        .into_iter()
        .filter_map(|span| crate::stage::attribute(&span, "gen_ai.agent.name"));
    assert_eq!(names.collect::<Vec<_>>(), ["answer_by_attribute"; 2]);
}

#[test]
fn handler_is_an_agent_by_a_rule() {
    let rules = "[[rule]]\nmatch = { span = \"answer\" }\nservice = \"invoke_agent\"\n";
    let rules = Rules::from_toml(rules).unwrap();
    let stage = Stage::with(|layer| layer.rules(rules));
    assert_eq!(tree(&stage, || answer(&stage)), AGENT);
}
