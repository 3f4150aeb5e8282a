//! What has been said so far, as a language model gets it.

use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// A message of OpenAI's chat format.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Message {
    pub(crate) role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<ToolCall>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tool_call_id: Option<String>,
}

impl Message {
    pub(crate) fn new(role: &str, content: impl Into<String>) -> Self {
        Self {
            role: role.to_owned(),
            content: Some(content.into()),
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct ToolCall {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) function: Function,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// JSON, as the model wrote it.
    pub(crate) arguments: String,
}

/// The messages of one conversation, shared by turn-taking and the language model.
#[derive(Clone, Debug)]
pub(crate) struct Context(Arc<Mutex<Vec<Message>>>);

/// Messages kept beside the instructions; the oldest go first.
const LONGEST: usize = 60;

impl Context {
    pub(crate) fn new(instructions: &str) -> Self {
        Self(Arc::new(Mutex::new(vec![Message::new(
            "system",
            instructions,
        )])))
    }

    pub(crate) fn push(&self, messages: impl IntoIterator<Item = Message>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(messages);
        if all.len() > LONGEST {
            // A conversation must not begin with the answer to a tool call that is gone.
            let mut first = all.len() - LONGEST;
            while first < all.len() && all[first].role != "user" {
                first += 1;
            }
            all.drain(1..first);
        }
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
