//! `cargo fuzz run decider`; without cargo-fuzz, tries the files that it is called with.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| chathook_fuzz::decider::check(input));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    chathook_fuzz::try_files(chathook_fuzz::decider::check)
}
