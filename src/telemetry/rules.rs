//! The rules of the file that `CONVERSATION_RULES` names, and the program's own.

use crate::environment::{RULES, Settings, SetupError};
use crate::rules::Rules;

/// The rules of the environment, and behind them the program's `own`.
pub(super) fn read(settings: &Settings, own: &Rules) -> Result<Rules, SetupError> {
    if let Err(problem) = own.check() {
        return Err(SetupError::Rules(problem));
    }
    let mut rules = match &settings.rules {
        Some(path) => from_file(path)?,
        None => Rules::new(),
    };
    rules = rules.and(own.clone());
    if settings.reports_rules {
        rules = rules.reported();
    }
    Ok(rules)
}

#[cfg(feature = "rules")]
fn from_file(path: &str) -> Result<Rules, SetupError> {
    Rules::from_path(path).map_err(|error| SetupError::Rules(format!("{RULES}: {error}")))
}

#[cfg(not(feature = "rules"))]
fn from_file(path: &str) -> Result<Rules, SetupError> {
    Err(SetupError::variable(
        RULES,
        path,
        "none, as long as this program is built without the feature `rules` of tracing-conversation",
    ))
}
