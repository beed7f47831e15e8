//! The built gateway over real sockets: one module a promise.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod deliver;
mod jetstream;
mod deliver_brokers;
mod deliver_http;
mod every_command;
mod verification;
mod bad_input;
mod handlers;
mod example;
mod decide_failures;
mod decide_http;
mod decide_chain;
mod decide_rules;
mod overload;
mod arrival;
mod shutdown;
mod tls;
mod source;
mod configuration;
mod reload;
mod admin;
mod command_line;

/// A test file that is not listed above would never run.
#[test]
fn every_test_file_is_a_module() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("it");
    let main = include_str!("main.rs");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(module == "main" || main.contains(&format!("mod {module};")), "{name} is not a module");
    }
}
