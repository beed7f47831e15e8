//! The standard output as a target: one CloudEvent a line. The log goes to standard error, and never in between.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use chathook_journal::Record;
use serde::Deserialize;

use super::cloudevent::CloudEvent;
use super::lines::{Lines, Sink};
use super::{Delivered, Undelivered};
use crate::config::Invalid;

/// `stdout = {}`: for looking on, and for log collectors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {}

/// The standard output. Where nobody reads, it is tried again; where somebody reads slowly, it waits.
pub(crate) struct StdoutTarget(Lines);

impl StdoutTarget {
    pub(crate) fn open() -> Result<Self, Invalid> {
        let open = || {
            let fd = io::stdout().as_fd().try_clone_to_owned()?;
            Lines::to("target stdout", Stream { to: File::from(fd), is_torn: false })
        };
        open().map(Self).map_err(|error| Invalid::new("stdout", format!("cannot be written to: {error}")))
    }

    pub(crate) async fn deliver(&self, event: &Record) -> Result<Delivered, Undelivered> {
        self.0.write(CloudEvent::of(event).line()?).await
    }
}

/// Without a buffer: what it did not take is not sent later.
struct Stream<W> {
    to: W,
    /// Whether the last line may have no end.
    is_torn: bool,
}

impl<W: Write + Send + 'static> Sink for Stream<W> {
    fn write(&mut self, lines: &[Vec<u8>]) -> io::Result<()> {
        let end: &[u8] = if self.is_torn { b"\n" } else { b"" };
        self.is_torn = true;
        self.to.write_all(&[end, &lines.concat()].concat())?;
        self.is_torn = false;
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use super::super::lines::Sink;
    use super::Stream;

    /// Takes so many bytes, and then no more until it is asked again.
    struct Short(Vec<u8>, usize);

    impl Write for Short {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.1.min(bytes.len()) {
                0 => {
                    self.1 = usize::MAX;
                    Err(io::ErrorKind::BrokenPipe.into())
                }
                taken => {
                    self.0.extend_from_slice(&bytes[..taken]);
                    self.1 -= taken;
                    Ok(taken)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_spoil_the_next() {
        let mut stream = Stream { to: Short(Vec::new(), 6), is_torn: false };
        let lines = [b"one\n".to_vec(), b"two\n".to_vec()];
        assert_eq!(stream.write(&lines).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        stream.write(&lines).unwrap();
        stream.write(&lines[..1]).unwrap();
        assert_eq!(String::from_utf8(stream.to.0).unwrap(), "one\ntw\none\ntwo\none\n");
    }
}
