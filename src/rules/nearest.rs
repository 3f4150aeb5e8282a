//! The word that was probably meant.

/// The one of `words` that is nearest to `wrong`, if any is near.
pub(crate) fn nearest<'a>(
    wrong: &str,
    words: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let bound = 1 + wrong.chars().count() * 2 / 5;
    words
        .into_iter()
        .map(|word| (distance(&wrong, &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// How many characters have to be added, removed or replaced to get from one to the other. Only the beginnings count.
pub(crate) fn distance(one: &str, other: &str) -> usize {
    const MAX: usize = 128;
    let other: Vec<char> = other.chars().take(MAX).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().take(MAX).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, same) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *same);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_word_is_the_one_with_the_fewest_changes() {
        let words = ["event", "service", "conversation"];
        assert_eq!(nearest("evnt", words), Some("event"));
        assert_eq!(nearest("Converstion", words), Some("conversation"));
        assert_eq!(nearest("frobnicate", words), None);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
