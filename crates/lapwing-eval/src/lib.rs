//! Runs samples and scores them.
