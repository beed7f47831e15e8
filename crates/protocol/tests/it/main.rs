//! The promises of the protocol crate.

mod corpus;
