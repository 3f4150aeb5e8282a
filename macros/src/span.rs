//! `declare_span!`: the implementation of `llm_span!` and its siblings.
//!
//! Works on bare tokens, so that the span macros do not pull in a parser.

use std::collections::HashMap;

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

use crate::meant::meant;

pub(crate) fn declare(input: TokenStream) -> TokenStream {
    let mut groups = input.into_iter().filter_map(|token| match token {
        TokenTree::Group(group) => Some(group),
        _ => None,
    });
    let mut next = || {
        groups
            .next()
            .map_or_else(TokenStream::new, |group| group.stream())
    };
    let (tracing, name) = (next(), next());
    let declared = [next(), next()].map(segments).concat();
    expand(tracing, &name, declared, next()).unwrap_or_else(|error| error.into_tokens())
}

fn expand(
    tracing: TokenStream,
    name: &TokenStream,
    declared: Vec<Vec<TokenTree>>,
    args: TokenStream,
) -> Result<TokenStream, Error> {
    let args = segments(args);
    let settings = args.iter().take_while(|segment| setting(segment).is_some());
    let settings = settings.count();
    let (settings, args) = args.split_at(settings);
    check_settings(settings, args)?;
    let declared: Vec<(String, Vec<TokenTree>)> = declared
        .into_iter()
        .filter_map(|segment| Some((field(&segment)?.0, segment)))
        .collect();
    let given = check_fields(name, &declared, args)?;

    // The declared fields come first: only the last argument may be a message.
    let mut fields = TokenStream::new();
    for segment in settings {
        fields.extend(segment.iter().cloned());
        fields.extend([comma()]);
    }
    fields.extend(name.clone());
    for (field, segment) in declared {
        if given.contains_key(&field) {
            continue;
        }
        let has_value = segment.iter().any(|token| is_punct(token, '='));
        fields.extend([comma()]);
        fields.extend(segment);
        if !has_value {
            fields.extend([equals()]);
            fields.extend(tracing.clone());
            fields.extend(path(&["field", "Empty"]));
        }
    }
    // With these, a comma may be inside an expression: `f::<A, B>()`.
    let is_split = args
        .iter()
        .flatten()
        .any(|token| ['<', '>', '|'].iter().any(|&sign| is_punct(token, sign)));
    for segment in args {
        fields.extend([comma()]);
        match checked_value(segment, &tracing).filter(|_| !is_split) {
            Some(checked) => fields.extend(checked),
            None => fields.extend(segment.iter().cloned()),
        }
    }

    let mut tokens = tracing;
    tokens.extend(path(&["info_span"]));
    tokens.extend([
        TokenTree::Punct(Punct::new('!', Spacing::Alone)),
        TokenTree::Group(Group::new(Delimiter::Parenthesis, fields)),
    ]);
    Ok(tokens)
}

fn check_settings(settings: &[Vec<TokenTree>], args: &[Vec<TokenTree>]) -> Result<(), Error> {
    for (setting, at) in settings.iter().filter_map(|segment| setting(segment)) {
        if setting != "parent" && setting != "target" {
            return Err(Error::new(
                at,
                format!(
                    "`{setting}:` is not a setting of a span; the settings are `target:` and `parent:`, \
                     and a field is written `{setting} = …`"
                ),
            ));
        }
    }
    match args.iter().find_map(|segment| setting(segment)) {
        Some((setting, at)) => Err(Error::new(
            at,
            format!(
                "settings come before the fields: write `{setting}: …` first, \
                 or `{setting} = …` if it is a field"
            ),
        )),
        None => Ok(()),
    }
}

/// Returns the names of the caller's fields.
fn check_fields(
    name: &TokenStream,
    declared: &[(String, Vec<TokenTree>)],
    args: &[Vec<TokenTree>],
) -> Result<HashMap<String, Span>, Error> {
    let mut names: HashMap<String, Span> = HashMap::new();
    for segment in args {
        let Some((field, at)) = field(segment) else {
            if let [TokenTree::Literal(literal), ..] = segment.as_slice()
                && !segment.get(1).is_some_and(|token| is_punct(token, '='))
            {
                return Err(Error::new(
                    literal.span(),
                    format!(
                        "this macro sets the span's name, {name}; \
                         pass fields only, such as `gen_ai.request.model = \"gpt-4o\"`"
                    ),
                ));
            }
            continue;
        };
        let is_quoted = matches!(segment.first(), Some(TokenTree::Literal(_)));
        let mut known = declared.iter().map(|(name, _)| name.as_str());
        if !is_quoted
            && !known.any(|name| name == field)
            && let Some(meant) = meant(&field, declared.iter().map(|(name, _)| name.as_str()))
        {
            return Err(Error::new(
                at,
                format!(
                    "{name} has no field `{field}`: write `{meant} = …`, \
                     or `\"{field}\" = …` for a field of your own"
                ),
            ));
        }
        if names.insert(field.clone(), at).is_some() {
            return Err(Error::new(
                at,
                format!("the field `{field}` is given twice; keep one of them"),
            ));
        }
    }
    Ok(names)
}

/// Wraps the value of `a.b = value` or `a.b` in a function whose bound says what to write if it is no
/// [`Value`](https://docs.rs/tracing/latest/tracing/trait.Value.html).
fn checked_value(segment: &[TokenTree], tracing: &TokenStream) -> Option<TokenStream> {
    field(segment)?;
    let equal = segment.iter().position(|token| is_punct(token, '='));
    let (name, value) = match equal {
        Some(equal) => (&segment[..equal], &segment[equal + 1..]),
        None => (segment, segment),
    };
    let first = value.first()?;
    if is_punct(first, '%') || is_punct(first, '?') {
        return None;
    }
    let mut function: Vec<TokenTree> = tracing.clone().into_iter().collect();
    // `$crate::__private::tracing` without its last name.
    function.pop();
    function.push(TokenTree::Ident(Ident::new(
        "field_value",
        Span::call_site(),
    )));
    for token in &mut function {
        // Where the compiler points to.
        token.set_span(token.span().located_at(first.span()));
    }
    let mut reference = TokenTree::Punct(Punct::new('&', Spacing::Alone));
    reference.set_span(first.span());
    let mut argument = TokenStream::from(reference);
    argument.extend(value.iter().cloned());
    let mut argument = Group::new(Delimiter::Parenthesis, argument);
    argument.set_span(first.span());
    let mut tokens: TokenStream = name.iter().cloned().collect();
    tokens.extend([equals()]);
    tokens.extend(function);
    tokens.extend([TokenTree::Group(argument)]);
    Some(tokens)
}

/// Splits tokens at commas.
fn segments(tokens: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut segments = vec![Vec::new()];
    for token in tokens {
        if is_punct(&token, ',') {
            segments.push(Vec::new());
        } else if let Some(segment) = segments.last_mut() {
            segment.push(token);
        }
    }
    segments.retain(|segment| !segment.is_empty());
    segments
}

/// Returns the name in `target: …` or `parent: …`.
fn setting(segment: &[TokenTree]) -> Option<(String, Span)> {
    match segment {
        [TokenTree::Ident(name), TokenTree::Punct(colon), ..]
            if colon.as_char() == ':' && colon.spacing() == Spacing::Alone =>
        {
            Some((name.to_string(), name.span()))
        }
        _ => None,
    }
}

/// Returns the name of the field in `a.b = …`, `"a b" = …`, `a.b`, `%a.b` or `?a.b`.
///
/// The tokens after a comma inside an expression (`f::<A, B>()`) do not have this form, or do not name a declared
/// field.
fn field(segment: &[TokenTree]) -> Option<(String, Span)> {
    let segment = match segment {
        [first, rest @ ..] if is_punct(first, '%') || is_punct(first, '?') => rest,
        _ => segment,
    };
    let at = segment.first()?.span();
    let mut name = String::new();
    let mut rest = segment.iter();
    if let [TokenTree::Literal(literal), ..] = segment {
        name = literal.to_string().trim_matches('"').to_owned();
        rest.next();
        return is_punct(rest.next()?, '=').then_some((name, at));
    }
    loop {
        let TokenTree::Ident(ident) = rest.next()? else {
            return None;
        };
        name.push_str(&ident.to_string());
        match rest.next() {
            None => return Some((name, at)),
            Some(token) if is_punct(token, '=') => return Some((name, at)),
            Some(token) if is_punct(token, '.') => name.push('.'),
            Some(_) => return None,
        }
    }
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

fn equals() -> TokenTree {
    TokenTree::Punct(Punct::new('=', Spacing::Alone))
}

fn comma() -> TokenTree {
    TokenTree::Punct(Punct::new(',', Spacing::Alone))
}

/// `::a::b`
fn path(names: &[&str]) -> TokenStream {
    names
        .iter()
        .flat_map(|name| {
            [
                TokenTree::Punct(Punct::new(':', Spacing::Joint)),
                TokenTree::Punct(Punct::new(':', Spacing::Alone)),
                TokenTree::Ident(Ident::new(name, Span::call_site())),
            ]
        })
        .collect()
}

struct Error {
    at: Span,
    message: String,
}

impl Error {
    fn new(at: Span, message: String) -> Self {
        Self { at, message }
    }

    /// Returns `::core::compile_error! { "…" }` with the span of the user's token.
    fn into_tokens(self) -> TokenStream {
        let message = TokenTree::Literal(Literal::string(&self.message));
        let mut tokens = path(&["core", "compile_error"]);
        tokens.extend([
            TokenTree::Punct(Punct::new('!', Spacing::Alone)),
            TokenTree::Group(Group::new(Delimiter::Brace, TokenStream::from(message))),
        ]);
        tokens
            .into_iter()
            .map(|mut token| {
                token.set_span(self.at);
                token
            })
            .collect()
    }
}
