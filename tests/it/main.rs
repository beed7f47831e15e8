//! The built gateway over real sockets: one module a promise.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod deliver;
mod jetstream;
mod deliver_brokers;
mod deliver_faults;
mod deliver_http;
mod dead_letters;
mod clock;
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
mod manifests;
mod prometheus;
mod grafana;
mod systemd;
mod traces;
mod listen;
mod load;
mod doctor;

/// A test file that is not listed above would never run.
#[test]
fn every_test_file_is_a_module() {
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for (folder, main) in [("it", include_str!("main.rs")), ("it/robust", include_str!("robust/main.rs"))] {
        for entry in std::fs::read_dir(tests.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let module = name.trim_end_matches(".rs");
            let is_program = module == "main" || tests.join(folder).join(module).join("main.rs").exists();
            assert!(is_program || main.contains(&format!("mod {module};")), "{folder}/{name} is not a module");
        }
    }
}
