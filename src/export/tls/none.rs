//! A build without TLS: `https` endpoints are refused when the settings are read.

use super::Application;
use crate::environment::{Connection, SetupError};

/// The connector itself.
pub(crate) type Tls<C> = C;

/// Hands the connector back.
pub(crate) fn over<C>(
    connector: C,
    _connection: &Connection,
    _application: Application,
) -> Result<Tls<C>, SetupError> {
    Ok(connector)
}
