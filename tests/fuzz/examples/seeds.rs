//! Writes the seeds of each target, a folder a target, into the folder that it is called with.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::other("call it with a folder"))?;
    for target in chathook_fuzz::targets() {
        let own = folder.join(target.name);
        fs::create_dir_all(&own)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            fs::write(own.join(format!("seed-{number:04}")), seed)?;
        }
    }
    Ok(())
}
