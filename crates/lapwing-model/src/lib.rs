//! API clients for language models.
