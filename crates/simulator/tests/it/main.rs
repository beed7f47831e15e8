//! The promises of the simulator.
#![expect(clippy::unwrap_used, reason = "what helps a test fails as the test would")]

mod client;
mod query;
mod runs;
mod scenarios;
mod server;
mod shapes;
mod verdicts;

#[test]
fn no_file_of_tests_is_forgotten() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let modules = include_str!("main.rs");
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        if let Some(module) = file.strip_suffix(".rs").filter(|module| *module != "main") {
            assert!(modules.contains(&format!("mod {module};")), "{file} is no module of main.rs");
        }
    }
}
