//! What the stand-in language model says: a travel assistant that knows a few things, and turns the rest into questions
//! as ELIZA did.

use crate::context::Message;
use serde_json::Value;

pub(super) enum Reply {
    Says(String),
    Calls {
        tool: &'static str,
        arguments: String,
    },
}

const CITIES: [&str; 6] = ["Paris", "London", "Berlin", "New York", "Tokyo", "Sydney"];

/// The answer to a conversation, as far as it has come.
pub(super) fn reply(messages: &[Message], tools: bool) -> Reply {
    let Some(last) = messages.last() else {
        return Reply::Says("Hello.".to_owned());
    };
    let said = last.content.as_deref().unwrap_or_default();
    match last.role.as_str() {
        "tool" => Reply::Says(describe(said)),
        "user" => answer(said, messages, tools),
        _ => Reply::Says("Hello, this is your travel assistant. How can I help you?".to_owned()),
    }
}

fn answer(said: &str, messages: &[Message], tools: bool) -> Reply {
    let words = said.to_lowercase();
    let has = |any: &[&str]| any.iter().any(|word| words.contains(word));
    let city = city(messages);
    let says = |text: &str| Reply::Says(text.replace("{city}", city));
    if words == super::deepgram::NOT_KNOWN.to_lowercase() {
        return says("I am only a stand-in, and did not understand that. With real keys I could.");
    }
    if has(&["weather", "forecast", "rain", "how warm", "how cold"]) && tools {
        return Reply::Calls {
            tool: "get_weather",
            arguments: serde_json::json!({"city": city}).to_string(),
        };
    }
    if has(&["goodbye", "bye", "that is all"]) {
        return says("You are welcome. Have a good trip!");
    }
    if has(&["just one", "only one", "one place"]) {
        return says("Of course. Then take a walk along the river at sunset.");
    }
    if has(&["should i see", "sights", "visit", "to do"]) {
        return says(
            "There is a lot to see in {city}. Start in the old town, and climb the tower for the view. \
             After that the great museum is worth a whole afternoon. In the evening I would go to the theatre, \
             and have dinner in one of the small streets behind it.",
        );
    }
    if has(&["hello", "good morning", "hi "]) {
        return says("Hello to you too. Where would you like to go?");
    }
    Reply::Says(reflect(said))
}

/// The city that was named last.
fn city(messages: &[Message]) -> &'static str {
    let said = messages
        .iter()
        .rev()
        .filter_map(|message| message.content.as_deref());
    let named = said.flat_map(|text| CITIES.iter().filter(move |city| text.contains(**city)));
    named.copied().next().unwrap_or("Paris")
}

/// A tool's result in words.
fn describe(result: &str) -> String {
    let result: Value = serde_json::from_str(result).unwrap_or_default();
    match (
        result["city"].as_str(),
        result["temperature_celsius"].as_f64(),
        result["conditions"].as_str(),
    ) {
        (Some(city), Some(degrees), Some(conditions)) => {
            format!(
                "It is {degrees:.0} degrees and {conditions} in {city}. A light jacket will do."
            )
        }
        _ => "I am sorry, I cannot find out about the weather right now.".to_owned(),
    }
}

const SWAPS: [(&str, &str); 8] = [
    ("i", "you"),
    ("you", "I"),
    ("my", "your"),
    ("your", "my"),
    ("me", "you"),
    ("am", "are"),
    ("are", "am"),
    ("mine", "yours"),
];

fn reflect(said: &str) -> String {
    let turned: Vec<String> = said
        .trim_end_matches(['.', '?', '!'])
        .split_whitespace()
        .map(|word| {
            let swap = SWAPS
                .iter()
                .find(|(from, _)| word.eq_ignore_ascii_case(from));
            swap.map_or_else(|| word.to_lowercase(), |(_, to)| (*to).to_owned())
        })
        .collect();
    format!(
        "Why do you say: {}? Tell me more about it.",
        turned.join(" ")
    )
}
