//! Keys, and text that may repeat them.

use std::fmt;

/// Shown in a key's stead.
const HIDDEN: &str = "***";
/// Characters of a key that hide a word which repeats part of it. Fewer are too common in ordinary words.
const PART: usize = 8;
/// Letters and digits in one run that no ordinary word has: the keys of Deepgram are 40.
const RUN: usize = 32;
/// How the keys of OpenAI, of servers like it and of Cartesia begin.
const PREFIXES: [&str; 2] = ["sk-", "sk_"];

/// A key. It prints as `***`, so that no log line and no span can hold it by accident.
#[derive(Clone, Default)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The key itself, for the one header it belongs in.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// `text` without the key, without parts of it, and without anything that has a key's form: providers repeat keys
    /// in their error messages, whole, masked or cut.
    pub(crate) fn redact(&self, text: &str) -> String {
        let text = if self.0.is_empty() {
            text.to_owned()
        } else {
            text.replace(&self.0, HIDDEN)
        };
        let mut redacted = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(start) = rest.find(in_token) {
            let (before, from) = rest.split_at(start);
            let (token, after) = from.split_at(from.find(|c| !in_token(c)).unwrap_or(from.len()));
            redacted.push_str(before);
            redacted.push_str(if self.hides(token) { HIDDEN } else { token });
            rest = after;
        }
        redacted + rest
    }

    fn hides(&self, token: &str) -> bool {
        let part_of_key = token.len() >= PART && self.0.contains(token);
        // A key with something beside it, by mistake: each of its words is as secret as the whole.
        let word_of_key =
            token.len() >= PART / 2 && self.0.split(|c| !in_token(c)).any(|word| word == token);
        part_of_key || word_of_key || has_form_of_key(token)
    }
}

/// What keys are made of, and what providers mask them with.
fn in_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '*')
}

fn has_form_of_key(token: &str) -> bool {
    let begins = PREFIXES
        .iter()
        .any(|prefix| token.len() > prefix.len() && token.starts_with(prefix));
    let mut runs = token.split(|c: char| !c.is_ascii_alphanumeric());
    begins
        || runs.any(|run| {
            run.len() >= RUN
                && run.contains(|c: char| c.is_ascii_digit())
                && run.contains(|c: char| c.is_ascii_alphabetic())
        })
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_does_not_print() {
        assert_eq!(format!("{:?}", Secret::new("sk-verysecret")), "***");
    }

    #[test]
    fn key_its_parts_and_its_words_are_redacted() {
        let key = Secret::new("abcdef0123456789 # my key");
        for (text, redacted) in [
            ("wrong key abcdef0123456789 # my key.", "wrong key ***."),
            ("wrong key abcdef0123456789.", "wrong key ***."),
            ("wrong key 'abcdef0123'...", "wrong key '***'..."),
            ("a key is missing", "a key is missing"),
            ("", ""),
        ] {
            assert_eq!(key.redact(text), redacted);
        }
        assert_eq!(
            Secret::default().redact("nothing to hide"),
            "nothing to hide"
        );
    }

    #[test]
    fn whatever_has_the_form_of_a_key_is_redacted() {
        let key = Secret::new("another");
        for (text, redacted) in [
            (
                "Incorrect API key provided: sk-X.",
                "Incorrect API key provided: ***.",
            ),
            ("sk-proj-ab***********wxyz is wrong", "*** is wrong"),
            ("(sk_car_Zk39)", "(***)"),
            (
                "token 0123456789abcdef0123456789abcdef01234567",
                "token ***",
            ),
            // Ids and words stay: they are what one asks a provider's support about.
            (
                "request 550e8400-e29b-41d4-a716-446655440000",
                "request 550e8400-e29b-41d4-a716-446655440000",
            ),
            ("a task-force on sk", "a task-force on sk"),
        ] {
            assert_eq!(key.redact(text), redacted);
        }
    }
}
