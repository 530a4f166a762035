//! Messages between a scenario, its tools and a model.

use serde::{Deserialize, Serialize};

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// The operator's instructions.
    System {
        /// The text.
        text: String,
    },
    /// A user's turn, or anything the scenario delivers as one.
    User {
        /// The text.
        text: String,
    },
    /// A model's turn, its parts in the order in which the model produced them.
    Assistant {
        /// Text, reasoning and tool calls.
        parts: Vec<Part>,
    },
    /// What a tool call returned.
    Tool {
        /// The `id` of the call that this answers.
        call_id: String,
        /// The tool's name.
        name: String,
        /// What the model is shown.
        text: String,
    },
}

/// A piece of an assistant message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "snake_case")]
pub enum Part {
    /// Answer text.
    Text {
        /// The text.
        text: String,
    },
    /// Reasoning, kept apart from the answer.
    Reasoning(Reasoning),
    /// A request to run a tool.
    ToolCall(ToolCall),
}

/// Reasoning as far as the provider shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "visibility", rename_all = "snake_case")]
pub enum Reasoning {
    /// The whole reasoning text.
    Full {
        /// The text.
        text: String,
        /// The provider's own block, sent back byte for byte on the next turn.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opaque: Option<String>,
    },
    /// A summary made by the provider.
    Summary {
        /// The summary.
        text: String,
        /// The provider's own block, sent back byte for byte on the next turn.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opaque: Option<String>,
    },
    /// Reasoning that the provider hides.
    Hidden {
        /// The provider's own block, sent back byte for byte on the next turn.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opaque: Option<String>,
    },
}

/// A request to run a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id of the call.
    pub id: String,
    /// The tool's name as the model wrote it.
    pub name: String,
    /// The arguments exactly as the model wrote them; they may not be JSON.
    pub arguments: String,
}

impl Message {
    /// An assistant message of one text.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::Assistant { parts: vec![Part::Text { text: text.into() }] }
    }

    /// The answer text of an assistant message, its parts joined by line breaks; for the other roles their text.
    pub fn text(&self) -> String {
        match self {
            Self::System { text } | Self::User { text } | Self::Tool { text, .. } => text.clone(),
            Self::Assistant { parts } => {
                let texts = parts.iter().filter_map(|part| match part {
                    Part::Text { text } => Some(text.as_str()),
                    Part::Reasoning(_) | Part::ToolCall(_) => None,
                });
                texts.collect::<Vec<_>>().join("\n")
            }
        }
    }

    /// The tool calls of an assistant message, in order.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        let parts = match self {
            Self::Assistant { parts } => parts.as_slice(),
            Self::System { .. } | Self::User { .. } | Self::Tool { .. } => &[],
        };
        parts.iter().filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            Part::Text { .. } | Part::Reasoning(_) => None,
        })
    }
}
