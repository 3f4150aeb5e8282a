//! Puts a language model's pieces together into sentences, so that speech begins with the first of them.

use crate::frames::{Response, Sentence, Words};
use tokio::sync::mpsc;

/// A sentence shorter than this is spoken with the next: "Dr." and "1." end in a full stop too.
const SHORTEST: usize = 12;

/// Ends with its input.
pub(crate) async fn aggregate(mut words: mpsc::Receiver<Words>, sentences: mpsc::Sender<Sentence>) {
    let mut current: Option<(Response, String)> = None;
    while let Some(piece) = words.recv().await {
        let mut out = Vec::new();
        match piece {
            Words::Delta(response, delta) => {
                if current.as_ref().is_none_or(|(other, _)| *other != response) {
                    current = Some((response.clone(), String::new()));
                }
                if let Some((_, text)) = &mut current {
                    text.push_str(&delta);
                    while let Some(sentence) = take_sentence(text) {
                        out.push(Sentence::Say(response.clone(), sentence));
                    }
                }
            }
            Words::Pause(response) => out.extend(rest(&mut current, &response)),
            Words::End(response) => {
                out.extend(rest(&mut current, &response));
                out.push(Sentence::End(response));
            }
        }
        for sentence in out {
            if sentences.send(sentence).await.is_err() {
                return;
            }
        }
    }
}

/// What is left of `response`, be it a whole sentence or not.
fn rest(current: &mut Option<(Response, String)>, response: &Response) -> Option<Sentence> {
    let (_, text) = current.take().filter(|(other, _)| other == response)?;
    let text = text.trim();
    (!text.is_empty()).then(|| Sentence::Say(response.clone(), text.to_owned()))
}

/// Takes a whole sentence off the front of `text`: one whose end is certain because something follows it.
fn take_sentence(text: &mut String) -> Option<String> {
    let ends = text
        .match_indices(['.', '?', '!'])
        .map(|(at, mark)| at + mark.len());
    let end = ends
        .filter(|&end| text[end..].starts_with(char::is_whitespace))
        .find(|&end| text[..end].trim().chars().count() >= SHORTEST)?;
    let sentence = text[..end].trim().to_owned();
    text.replace_range(..end, "");
    Some(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_taken_when_its_end_is_certain() {
        let mut text = "It is 18.5 degrees".to_owned();
        assert_eq!(take_sentence(&mut text), None);
        text.push_str(" in Paris.");
        assert_eq!(take_sentence(&mut text), None);
        text.push_str(" Yes. Take a jacket! And");
        assert_eq!(
            take_sentence(&mut text).as_deref(),
            Some("It is 18.5 degrees in Paris.")
        );
        assert_eq!(
            take_sentence(&mut text).as_deref(),
            Some("Yes. Take a jacket!")
        );
        assert_eq!(take_sentence(&mut text), None);
        assert_eq!(text, " And");
    }
}
