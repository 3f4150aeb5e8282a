//! A writer shared with the rest of the program, whose reader may close it at any time.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::{Mutex, PoisonError};

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};

/// Writes whole blocks. Once the reader has closed its end, every later block is discarded.
pub(crate) struct Output {
    /// `None` once the reader has closed it.
    writer: Mutex<Option<LineTracker>>,
}

/// Knows whether the last line is complete: a write may fail in the middle of one.
struct LineTracker {
    writer: Box<dyn Write + Send>,
    is_mid_line: bool,
}

impl Write for LineTracker {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes)?;
        if let Some(last) = bytes[..written.min(bytes.len())].last() {
            self.is_mid_line = *last != b'\n';
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Output {
    pub(crate) fn new(writer: impl Write + Send + 'static) -> Self {
        Self {
            writer: Mutex::new(Some(LineTracker {
                writer: Box::new(writer),
                is_mid_line: false,
            })),
        }
    }

    /// Hands over `block` in a single write, so that other writers' lines do not end up inside it. It begins a line of its
    /// own, also after a block that broke off.
    pub(crate) fn write_block(&self, block: &[u8]) -> OTelSdkResult {
        self.with_writer(|writer| {
            if writer.is_mid_line {
                writer.write_all(b"\n")?;
            }
            writer.write_all(block)?;
            writer.flush()
        })
    }

    pub(crate) fn flush(&self) -> OTelSdkResult {
        self.with_writer(|writer| writer.flush())
    }

    fn with_writer(&self, write: impl FnOnce(&mut LineTracker) -> io::Result<()>) -> OTelSdkResult {
        let mut slot = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(writer) = slot.as_mut() else {
            return Ok(());
        };
        match write(writer) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                *slot = None;
                Ok(())
            }
            Err(error) => Err(OTelSdkError::InternalFailure(format!(
                "cannot write spans to the console: {error}"
            ))),
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Output")
    }
}
