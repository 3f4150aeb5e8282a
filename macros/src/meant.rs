//! Which declared field a caller means by an undeclared one.

/// Families of names in which a caller's own field is rare. Outside of them any name is taken as it is.
const FAMILIES: [&str; 5] = ["gen_ai.", "metrics.", "otel.", "stt.", "tts."];

/// Short names that are the last part of a declared one, or what other libraries call it.
const SHORT: [(&str, &str); 6] = [
    ("model", "gen_ai.request.model"),
    ("provider", "gen_ai.provider.name"),
    ("gen_ai.system", "gen_ai.provider.name"),
    ("voice", "voice_id"),
    ("prompt_tokens", "gen_ai.usage.input_tokens"),
    ("completion_tokens", "gen_ai.usage.output_tokens"),
];

/// Returns the declared field that `name`, which is not declared, is a short or misspelt form of.
pub(crate) fn meant<'a>(
    name: &str,
    declared: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let short = SHORT.iter().find(|(short, _)| *short == name);
    let is_meant = |long: &str| match short {
        Some((_, wanted)) => long == *wanted,
        None => ["gen_ai.request.", "gen_ai.usage."]
            .iter()
            .any(|family| long.strip_prefix(family) == Some(name)),
    };
    if let Some(long) = declared.clone().find(|long| is_meant(long)) {
        return Some(long);
    }
    if !FAMILIES.iter().any(|family| name.starts_with(family)) {
        return None;
    }
    let near = declared.map(|other| (distance(name, other), other));
    let (distance, nearest) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2).then_some(nearest)
}

/// The number of letters to insert, remove or replace between two names (Levenshtein distance).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
