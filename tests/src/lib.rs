//! Helpers for tests of the built gateway.
