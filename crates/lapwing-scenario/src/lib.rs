//! The scenario format: parse, expand, render, evidence, expressions, scripted policies.
