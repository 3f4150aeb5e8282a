//! A writer shared with the rest of the program, whose reader may leave at any time.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::sync::{Mutex, PoisonError};

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};

/// Writes whole blocks. Once the reader has closed its end, every later block is discarded.
pub(crate) struct Output {
    /// `None` once the reader is gone.
    writer: Mutex<Option<Box<dyn Write + Send>>>,
}

impl Output {
    pub(crate) fn new(writer: impl Write + Send + 'static) -> Self {
        Self {
            writer: Mutex::new(Some(Box::new(writer))),
        }
    }

    /// Hands over `block` in a single write, so that other writers' lines do not end up inside it.
    pub(crate) fn write_block(&self, block: &[u8]) -> OTelSdkResult {
        self.with_writer(|writer| {
            writer.write_all(block)?;
            writer.flush()
        })
    }

    pub(crate) fn flush(&self) -> OTelSdkResult {
        self.with_writer(|writer| writer.flush())
    }

    fn with_writer(
        &self,
        write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> OTelSdkResult {
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
