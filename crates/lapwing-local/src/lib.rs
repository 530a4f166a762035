//! Organisms and checkpoints as models of every scenario, and as an OpenAI-compatible endpoint.
