//! Reads tool definitions in any provider's form.

use serde_json::{Map, Value, json};

use super::elements::whole_elements;
use super::part::into_object;

/// Reads a list of tools; of a list that was cut off, the complete ones. `None` if the text is not a list of tools.
pub(crate) fn definitions(text: &str) -> Option<Vec<Value>> {
    let json = text.trim();
    match serde_json::from_str(json) {
        Ok(value @ (Value::Array(_) | Value::Object(_))) => of_value(value),
        Ok(_) => None,
        Err(_) => of_value(Value::Array(whole_elements(json.strip_prefix('[')?))),
    }
}

/// Converts to the conventions' definitions: `type`, `name`, `description`, `parameters`.
pub(super) fn of_value(value: Value) -> Option<Vec<Value>> {
    let list = match value {
        Value::Array(list) => list,
        object @ Value::Object(_) => vec![object],
        _ => return None,
    };
    let definitions: Vec<Value> = list
        .into_iter()
        .filter_map(into_object)
        .flat_map(definition)
        .collect();
    (!definitions.is_empty()).then_some(definitions)
}

fn definition(mut tool: Map<String, Value>) -> Vec<Value> {
    // Gemini: several functions in one tool.
    let declarations = ["functionDeclarations", "function_declarations"]
        .iter()
        .find_map(|key| tool.remove(*key));
    if let Some(Value::Array(declarations)) = declarations {
        return declarations
            .into_iter()
            .filter_map(into_object)
            .map(function)
            .collect();
    }
    // OpenAI's chat API.
    if let Some(Value::Object(inner)) = tool.get_mut("function") {
        return vec![function(std::mem::take(inner))];
    }
    let kind = tool.get("type").and_then(Value::as_str);
    if tool.get("name").is_some_and(Value::is_string) {
        return match kind {
            None | Some("function" | "custom") => vec![function(tool)],
            // A tool that the provider runs.
            Some(_) => vec![Value::Object(tool)],
        };
    }
    let name = match kind {
        Some(kind) => kind.to_owned(),
        // Gemini's built-in tools have a single key, such as `google_search`.
        None => match tool.keys().next() {
            Some(key) => key.clone(),
            None => return Vec::new(),
        },
    };
    vec![json!({"type": name, "name": name})]
}

fn function(mut function: Map<String, Value>) -> Value {
    let parameters = ["parameters", "input_schema", "parametersJsonSchema"]
        .iter()
        .find_map(|key| function.remove(*key));
    if let Some(parameters) = parameters {
        function.insert("parameters".into(), parameters);
    }
    function.insert("type".into(), "function".into());
    Value::Object(function)
}

/// A definition in the form of OpenAI's chat API.
pub(crate) fn chat_definition(definition: &Value) -> Value {
    let mut function = definition.as_object().cloned().unwrap_or_default();
    match function.remove("type") {
        Some(Value::String(kind)) if kind != "function" => definition.clone(),
        _ => json!({"type": "function", "function": function}),
    }
}
